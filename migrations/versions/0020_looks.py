"""Looks at accounts, payouts and chargebacks that fail whatever is tried."""

from __future__ import annotations

from migrations.files import execute

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Count how often they failed."""
    execute("looks.v1")
