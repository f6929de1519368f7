"""How long what is worth nothing any more is kept."""

from __future__ import annotations

from migrations.files import execute

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let old deliveries, links, moves of clocks and applied events be deleted."""
    execute("retention.v1")
