"""The ledger: units, accounts, postings, transfers, and their one writer."""

from __future__ import annotations

from migrations.files import execute

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and functions of the ledger."""
    execute("ledger_tables.v1")
    execute("ledger_post.v1")
    execute("ledger_cut.v1")
