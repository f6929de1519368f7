"""Cases and their journal."""

from __future__ import annotations

from migrations.files import execute

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create cases."""
    execute("cases.v1")
    execute("case_clocks.v1")
