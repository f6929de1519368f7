"""API keys: a secret shown once, rotation with an overlap, the end of a key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from ledger.refusals import Refusal
from service.db import SYSTEM, transaction
from service.ids import uuid7
from service.platforms import keys
from service.platforms.keys import Key, KeyEnded, KeyNotFound
from service.platforms.scopes import SCOPES, UnknownScope

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)


def _create(
    engine: Engine, platform_id: UUID, *scopes: str, now: datetime = NOW
) -> tuple[Key, str]:
    with transaction(engine, platform_id) as connection:
        return keys.create(connection, platform_id, "sandbox", "A key", scopes or SCOPES, now)


def _opens(engine: Engine, secret: str, now: datetime) -> bool:
    with transaction(engine, SYSTEM) as connection:
        return keys.recognise(connection, secret, now) is not None


def _read(engine: Engine, key: Key) -> Key:
    with transaction(engine, key.platform_id) as connection:
        return keys.find(connection, key.platform_id, key.id)


def test_a_secret_says_its_mode_holds_256_random_bits_and_is_nowhere_in_the_database(
    engine: Engine, platform_id: UUID
) -> None:
    key, secret = _create(engine, platform_id)
    random_part = secret.removeprefix("tk_sandbox_")
    assert len(random_part) == 43  # 256 bits in base64url
    with transaction(engine, SYSTEM) as connection:
        row = connection.execute(
            text("SELECT k::text AS line, hash FROM service.api_key k WHERE id = :id"),
            {"id": key.id},
        ).one()
    assert random_part not in row.line
    assert bytes(row.hash) == hashlib.sha256(secret.encode()).digest()
    assert len(key.hint) <= 16, "the hint gives too much of the secret away"


def test_a_key_is_recognised_by_its_secret_and_by_nothing_near_it(
    engine: Engine, platform_id: UUID
) -> None:
    key, secret = _create(engine, platform_id, "members:read")
    with transaction(engine, SYSTEM) as connection:
        found = keys.recognise(connection, secret, NOW)
        assert found is not None
        assert (found[0].id, found[0].platform_id, found[1]) == (key.id, platform_id, "sandbox")
        assert found[0].scopes == ("members:read",)
        for near in ("", "tk_sandbox_", secret[:-1], secret + "A", secret.upper(), secret + "\n"):
            assert keys.recognise(connection, near, NOW) is None


def test_a_rotated_key_works_through_the_overlap_and_not_after(
    engine: Engine, platform_id: UUID
) -> None:
    old, old_secret = _create(engine, platform_id, "members:read", "units:write")
    with transaction(engine, platform_id) as connection:
        new, new_secret = keys.rotate(
            connection, platform_id, old.id, "sandbox", NOW, timedelta(hours=2)
        )
    assert (new.label, new.scopes) == (old.label, old.scopes)
    assert new_secret != old_secret
    assert _read(engine, old).rotated_to == new.id
    almost, after = NOW + timedelta(minutes=119), NOW + timedelta(hours=2)
    assert _opens(engine, old_secret, almost)
    assert _opens(engine, new_secret, almost)
    assert not _opens(engine, old_secret, after)
    assert _opens(engine, new_secret, after)


def test_a_key_is_rotated_once(engine: Engine, platform_id: UUID) -> None:
    old, _secret = _create(engine, platform_id)
    with transaction(engine, platform_id) as connection:
        keys.rotate(connection, platform_id, old.id, "sandbox", NOW)
    with transaction(engine, platform_id) as connection, pytest.raises(KeyEnded):
        keys.rotate(connection, platform_id, old.id, "sandbox", NOW)


def test_a_revoked_key_opens_nothing_and_cannot_be_rotated_back_to_life(
    engine: Engine, platform_id: UUID
) -> None:
    key, secret = _create(engine, platform_id)
    with transaction(engine, platform_id) as connection:
        assert keys.revoke(connection, platform_id, key.id, NOW).revoked_at == NOW
    assert not _opens(engine, secret, NOW)
    with transaction(engine, platform_id) as connection, pytest.raises(KeyEnded):
        keys.rotate(connection, platform_id, key.id, "sandbox", NOW)
    with transaction(engine, platform_id) as connection:
        again = keys.revoke(connection, platform_id, key.id, NOW + timedelta(days=1))
    assert again.revoked_at == NOW, "revoking again must not change when it ended"


def test_the_last_use_is_written_at_most_once_a_minute(engine: Engine, platform_id: UUID) -> None:
    key, secret = _create(engine, platform_id)
    assert _read(engine, key).last_used_at is None
    for seconds, noted in ((0, 0), (59, 0), (60, 60), (61, 60), (121, 121)):
        assert _opens(engine, secret, NOW + timedelta(seconds=seconds))
        assert _read(engine, key).last_used_at == NOW + timedelta(seconds=noted)


@pytest.mark.parametrize("scopes", [(), ("everything",), ("members:read", "members:erase")])
def test_scopes_come_from_a_closed_list(
    engine: Engine, platform_id: UUID, scopes: tuple[str, ...]
) -> None:
    with transaction(engine, platform_id) as connection, pytest.raises(UnknownScope):
        keys.create(connection, platform_id, "sandbox", "A key", scopes, NOW)


def test_another_platform_finds_rotates_and_revokes_nothing_of_ours(
    engine: Engine, platform_id: UUID, new_platform: Callable[[], UUID]
) -> None:
    key, secret = _create(engine, platform_id)
    other = new_platform()

    acts: dict[str, Callable[[Connection, UUID], object]] = {
        "find": lambda connection, key_id: keys.find(connection, other, key_id),
        "rotate": lambda connection, key_id: keys.rotate(connection, other, key_id, "sandbox", NOW),
        "revoke": lambda connection, key_id: keys.revoke(connection, other, key_id, NOW),
    }

    def refusal(act: str, key_id: UUID) -> tuple[type[Refusal], str]:
        with transaction(engine, other) as connection, pytest.raises(Refusal) as caught:
            acts[act](connection, key_id)
        return type(caught.value), str(caught.value)

    for act in acts:
        foreign, unknown = refusal(act, key.id), refusal(act, uuid7())
        assert foreign == unknown
        assert foreign[0] is KeyNotFound
    assert _opens(engine, secret, NOW)
