"""Chargebacks and early fraud warnings."""

from __future__ import annotations

from migrations.files import execute

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of chargebacks."""
    execute("chargebacks.v1")
