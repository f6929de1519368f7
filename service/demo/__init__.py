"""Plays of the product over HTTP: the proof that an instance works, and what it is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.demo import dispute, exchanges
from service.demo.client import Client, PlayFailed, Say
from service.demo.dispute import Neutral


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the plays are given: the instance, and keys to the sandboxes that they act on.

    The dispute has a sandbox of its own, because days pass in it; the other's clock stands still.
    """

    url: str
    key: str
    dispute_key: str
    neutrals: Sequence[Neutral]


def play(stage: Stage, say: Say) -> bool:
    """Give both plays, telling each step; return whether every step held."""
    client, court = Client(stage.url, stage.key), Client(stage.url, stage.dispute_key)
    try:
        exchanges.play(client, say)
        dispute.play(court, stage.neutrals, say)
    except PlayFailed as error:
        say(f"  FAILED  {error}")
        return False
    finally:
        client.close()
        court.close()
    return True
