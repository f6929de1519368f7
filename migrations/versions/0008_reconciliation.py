"""Reconciliation with the provider's own books."""

from __future__ import annotations

from migrations.files import execute

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of reconciliation."""
    execute("reconciliation.v1")
