"""The API's process under ``tierce up``: ``python -m service.cli.api``."""

from __future__ import annotations

import uvicorn

from service.app import create_app
from service.cli.leash import end_with_parent
from service.config import settings
from service.log import configure


def main() -> None:
    """Serve the API until told to end or the parent is gone."""
    end_with_parent()
    configure(settings().log_level, as_json=settings().log_json)
    uvicorn.run(
        create_app(),
        host=settings().host,
        port=settings().port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,  # the application writes its own line per request
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=65,  # longer than the usual proxy's, which must be the one to hang up
    )


if __name__ == "__main__":
    main()
