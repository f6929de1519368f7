"""Roles, schemas and the tenant of the current transaction."""

from __future__ import annotations

from migrations.files import execute

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create what every room stands on."""
    execute("foundations.v1")
