"""Signing keys of the instance, what it has signed, and what those who decide publish."""

from __future__ import annotations

from migrations.files import execute

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create signing keys, signed documents, precedents and templates."""
    execute("records.v1")
    execute("precedents.v1")
