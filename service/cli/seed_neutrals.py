"""The demo's neutrals: two people who can be drawn for cases of the demo platforms, and no others.

Their passwords and authenticators are made up here and kept 0600 in the home, so that the play and
the landing page can act as them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, text

from disputes import mediators
from disputes.mediators import Mediator
from service.cli.home import Home
from service.db import SYSTEM, transaction
from service.demo.dispute import Neutral
from service.ids import uuid7
from service.mediators import accounts, passwords, totp
from service.sealing import Sealer

_FILE: Final = "demo-neutrals.json"
_NAMES: Final = ("Maud Le Goff", "Erwan Kerleo")


@dataclass(frozen=True, slots=True)
class _Kept:
    id: str
    name: str
    email: str
    password: str
    totp_secret: str

    def neutral(self) -> Neutral:
        return Neutral(self.name, self.email, self.password, self.totp_secret)


def neutrals(
    home: Home, engine: Engine, sealer: Sealer, platforms: Sequence[UUID], now: datetime
) -> list[tuple[UUID, Neutral]]:
    """Return the demo's neutrals, in a pool that serves ``platforms``; make what is not there."""
    found = home.read(_FILE)
    kept = [] if found is None else [_Kept(**one) for one in json.loads(found)]
    with transaction(engine, SYSTEM) as connection:
        known = [one for one in kept if accounts.is_open(connection, UUID(one.id), now)]
    if len(known) < len(_NAMES):
        known = [_invent(name) for name in _NAMES]
        hashes = [passwords.hash_(one.password) for one in known]
        home.keep(_FILE, json.dumps([asdict(one) for one in known]))
        for one, hash_ in zip(known, hashes, strict=True):
            _open(engine, sealer, one, hash_, now)
    _pool(engine, known, _unserved(engine, platforms), now)
    return [(UUID(one.id), one.neutral()) for one in known]


def _unserved(engine: Engine, platforms: Sequence[UUID]) -> list[UUID]:
    """Return the platforms that no pool serves yet."""
    query = text("SELECT platform_id FROM disputes.pool_platform WHERE platform_id = ANY(:ids)")
    with transaction(engine, SYSTEM) as connection:
        served = set(connection.scalars(query, {"ids": list(platforms)}))
    return [one for one in platforms if one not in served]


def _invent(name: str) -> _Kept:
    email = f"{name.split(maxsplit=1)[0].lower()}.{secrets.token_hex(6)}@example.org"
    return _Kept(str(uuid7()), name, email, secrets.token_urlsafe(24), totp.new_secret())


def _open(engine: Engine, sealer: Sealer, one: _Kept, hash_: str, now: datetime) -> None:
    """Take up an invitation as its mediator would."""
    mediator = Mediator(
        id=UUID(one.id),
        name=one.name,
        email=one.email,
        languages=frozenset({"fr", "en", "br"}),
        skills=frozenset(),
        roles=frozenset({"mediator"}),
        caseload_cap=1_000,
        created_at=now,
    )
    # The code of the step before: the one of now is left to whoever signs in next.
    code = totp.code(one.totp_secret, totp.step(now) - 1)
    with transaction(engine, SYSTEM) as connection:
        invitation = accounts.add(connection, mediator, now)
        assert invitation.secret is not None
        accounts.choose(connection, sealer, invitation.secret, hash_, one.totp_secret, now)
        accounts.confirm(connection, sealer, invitation.secret, code, "127.0.0.0/24", now)


def _pool(
    engine: Engine, people: Sequence[_Kept], platforms: Sequence[UUID], now: datetime
) -> None:
    if not platforms:
        return
    pool_id = uuid7()
    with transaction(engine, SYSTEM) as connection:
        mediators.make_pool(connection, pool_id, f"Demo {pool_id}", now)
        mediators.put_in_pool(connection, pool_id, [UUID(one.id) for one in people])
        for platform_id in platforms:
            mediators.serve(connection, pool_id, platform_id)
