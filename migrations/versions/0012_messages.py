"""Messages to members, and links in them."""

from __future__ import annotations

from migrations.files import execute

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create messages, preferences and links."""
    execute("messages.v1")
