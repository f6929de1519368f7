"""Bring a database to the newest revision."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


@lru_cache(maxsize=1)
def head() -> str:
    """Return the newest revision that this version of the service knows."""
    found = ScriptDirectory(str(Path(__file__).parent)).get_current_head()
    assert found is not None
    return found


def upgrade(url: str) -> None:
    """Migrate the database at ``url`` (``postgresql+psycopg://…``) to the head.

    Raises:
        sqlalchemy.exc.DBAPIError: the server refused; nothing was changed.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    # ConfigParser reads % as the start of an interpolation; a password may hold one.
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    command.upgrade(config, "head")
