"""Signing keys of the instance and what it has signed."""

from __future__ import annotations

from migrations.files import execute

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create signing keys and signed documents."""
    execute("records.v1")
