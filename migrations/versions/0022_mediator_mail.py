"""Neutrals are told by mail of the cases that come to them."""

from __future__ import annotations

from migrations.files import execute

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the mail of mediators."""
    execute("mediator_mail.v1")
