"""The sink of the webhooks' tests in a process of its own; its first line names the address."""

from __future__ import annotations

import sys

from tests.events.sink import Sink


def main() -> None:
    """Take messages until standard input ends; answer each line of it with how many there were."""
    with Sink() as sink:
        print(sink.url("/hook"), flush=True)
        for _ in sys.stdin:
            print(len(sink.arrivals), flush=True)


if __name__ == "__main__":
    main()
