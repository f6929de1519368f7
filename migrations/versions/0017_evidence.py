"""Evidence, files and who looked at them."""

from __future__ import annotations

from migrations.files import execute

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create evidence."""
    execute("evidence.v1")
