"""Mediators, their pools and ties, and who was given which case, as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from disputes.assignments import Given
from disputes.draw import reproduces
from disputes.mediators import Mediator
from disputes.pools import Pool
from disputes.ties import Told
from service.ids import encode


def mediator(one: Mediator) -> dict[str, Any]:
    """Return a mediator, as the operator sees them."""
    return {
        "id": encode("mediator", one.id),
        "object": "mediator",
        "name": one.name,
        "email": one.email,
        "languages": sorted(one.languages),
        "skills": sorted(one.skills),
        "roles": sorted(one.roles),
        "caseload_cap": one.caseload_cap,
        "caseload_wish": one.caseload_wish,
        "away_until": one.away_until,
        "created_at": one.created_at,
        "ended_at": one.ended_at,
    }


def pool(one: Pool) -> dict[str, Any]:
    """Return a pool with its mediators and the platforms that it serves."""
    return {
        "id": encode("pool", one.id),
        "object": "mediator_pool",
        "name": one.name,
        "created_at": one.created_at,
        "mediators": [encode("mediator", id_) for id_ in one.mediators],
        "platforms": [encode("platform", id_) for id_ in one.platforms],
    }


def tie(one: Told) -> dict[str, Any]:
    """Return a tie of a mediator."""
    said = one.tie
    return {
        "id": encode("tie", one.id),
        "object": "mediator_tie",
        "mediator": encode("mediator", one.mediator_id),
        "kind": said.kind,
        "platform": None if said.platform_id is None else encode("platform", said.platform_id),
        "member": None if said.member_id is None else encode("member", said.member_id),
        "instrument_sha256": None if said.instrument is None else said.instrument.hex(),
        "note": one.note,
        "declared_by": one.declared_by,
        "declared_at": one.declared_at,
        "ended_at": one.ended_at,
    }


def assignments(found: Sequence[Given]) -> list[dict[str, Any]]:
    """Return each draw and each claim of a case; what was drawn at once stands together."""
    groups = groupby(found, key=lambda one: (one.at, one.part, one.how, one.seed))
    return [_drawn(list(together)) for _, together in groups]


def _drawn(together: list[Given]) -> dict[str, Any]:
    one = together[0]
    people = [given.mediator_id for given in together]
    excluded = {UUID(id_): why for id_, why in one.excluded.items()}
    return {
        "part": one.part,
        "how": one.how,
        "at": one.at,
        "seed": None if one.seed is None else one.seed.hex(),
        "eligible": [encode("mediator", id_) for id_ in one.eligible],
        "excluded": [
            {"mediator": encode("mediator", id_), "reasons": why} for id_, why in excluded.items()
        ],
        "given_to": [
            {
                "mediator": encode("mediator", given.mediator_id),
                "ended_at": given.ended_at,
                "ended_why": given.ended_why,
            }
            for given in together
        ],
        "reproduced": None
        if one.seed is None
        else reproduces(one.seed, one.eligible, excluded, people),
    }
