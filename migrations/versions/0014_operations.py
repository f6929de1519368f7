"""What operating an instance needs."""

from __future__ import annotations

from migrations.files import execute

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create dead letters and heartbeats."""
    execute("operations.v1")
