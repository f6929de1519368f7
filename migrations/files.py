"""SQL of functions, triggers and tables: named, versioned files beside the revisions."""

from __future__ import annotations

from pathlib import Path

from alembic import op

_FOLDER = Path(__file__).parent / "sql"


def execute(name: str) -> None:
    """Run ``migrations/sql/<name>.sql`` as one script: several statements, no parameters."""
    script = (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    # The driver takes a script of many statements whole when it has no parameters.
    driver.execute(script)
