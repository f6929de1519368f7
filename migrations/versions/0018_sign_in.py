"""How mediators sign in."""

from __future__ import annotations

from migrations.files import execute

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create accounts."""
    execute("sign_in.v1")
