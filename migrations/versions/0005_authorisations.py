"""Authorisations, reversals and the order of payments."""

from __future__ import annotations

from migrations.files import execute

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Extend the tables of exchanges and payments."""
    execute("payments.v2")
