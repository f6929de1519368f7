"""Members' accounts at payment providers, to be paid on."""

from __future__ import annotations

from migrations.files import execute

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of payees."""
    execute("payees.v1")
