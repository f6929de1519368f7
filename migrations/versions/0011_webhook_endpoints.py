"""Outgoing webhooks."""

from __future__ import annotations

from migrations.files import execute

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create endpoints and deliveries."""
    execute("webhooks.v1")
