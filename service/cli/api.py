"""The API's process under ``tierce up``: ``python -m service.cli.api``."""

from __future__ import annotations

import uvicorn

from service.app import create_app
from service.cli.leash import end_with_parent
from service.config import settings
from service.http.serving import configuration
from service.log import configure


def main() -> None:
    """Serve the API until told to end or the parent is gone."""
    end_with_parent()
    configure(settings().log_level, as_json=settings().log_json)
    served = configuration(create_app(), host=settings().host, port=settings().port, loop="uvloop")
    uvicorn.Server(served).run()


if __name__ == "__main__":
    main()
