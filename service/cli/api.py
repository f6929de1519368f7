"""The API's process under ``tierce up``: ``python -m service.cli.api``."""

from __future__ import annotations

import gc

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
    app = create_app()
    _spare_the_collector()
    served = configuration(app, host=settings().host, port=settings().port, loop="uvloop")
    uvicorn.Server(served).run()


def _spare_the_collector() -> None:
    """Look for garbage among what requests make, not again and again among what start-up made.

    A batch makes tens of thousands of objects that all live until its answer, and modules, models
    and routes for ever: with the usual thresholds a tenth of the time goes into walking them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


if __name__ == "__main__":
    main()
