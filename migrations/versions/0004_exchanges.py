"""Exchanges, payments, events and the sandbox provider."""

from __future__ import annotations

from migrations.files import execute

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the exchange, payment and event rooms."""
    execute("exchanges.v1")
    execute("payments.v1")
    execute("events.v1")
