"""A process whose children live a sale through against the Stripe-shaped server, and are killed."""

from __future__ import annotations

import sys
from datetime import datetime
from functools import partial
from uuid import UUID

from service import db
from service.exchanges import sweep
from tests.exchanges.crash_child import main
from tests.lives.stripe_lives import StripeLives


class Elsewhere(StripeLives):
    """The same platform in another process: only the server's address is known here."""

    def sweep(self) -> None:
        sweep.run(self.desk, self.now, self.platform_id)


def open_world(url: str, stripe_url: str, platform_id: str, now: str) -> StripeLives:
    """Come to a platform that exists, as another process."""
    world = Elsewhere.__new__(Elsewhere)
    world.url = stripe_url
    world.reopen(db.create_engine(url, 5), UUID(platform_id), datetime.fromisoformat(now))
    return world


if __name__ == "__main__":
    main(partial(open_world, sys.argv[1], sys.argv[2]))
