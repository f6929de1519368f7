"""The instance's keys: sealed, one in use at a time, and made once by whoever signs first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from service.db import SYSTEM, transaction
from service.records import keys
from service.records.keys import SigningKeyUnreadable
from service.sealing import Sealer
from tests.disputes.people import NOW
from tests.records.lives import SEALER, Court


def test_many_who_rotate_and_sign_at_once_find_one_key_in_use(engine: Engine, court: Court) -> None:
    case = court.closed()

    def rotate(_n: int) -> str:
        with transaction(engine, SYSTEM) as connection:
            return keys.rotate(connection, SEALER, NOW)[1]

    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(rotate, range(4)))
        assert court.decision(case)
    assert len(made) == 4
    with transaction(engine, SYSTEM) as connection:
        found = keys.published(connection)
        assert len([one for one in found if one.retired_at is None]) == 1
        assert made <= {one.kid for one in found}
        assert keys.current(connection, SEALER, NOW).kid in made


def test_a_private_key_is_in_no_column_and_opens_under_its_own_secret_alone(
    engine: Engine, court: Court
) -> None:
    court.decision(court.closed())
    with transaction(engine, SYSTEM) as connection:
        pem = keys.current(connection, SEALER, NOW).pem
        assert "PRIVATE KEY" in pem
        stored = connection.scalar(
            text("SELECT string_agg(k::text, '') FROM service.signing_key k")
        )
        assert "PRIVATE" not in stored
        assert b"PRIVATE".hex() not in stored
        assert all("d" not in one.jwk for one in keys.published(connection))
        with pytest.raises(SigningKeyUnreadable, match="rotate"):
            keys.current(connection, Sealer("another secret of another instance"), NOW)


def test_a_platform_s_transaction_cannot_retire_a_key(court: Court) -> None:
    court.decision(court.closed())
    with court.people.inside() as connection:
        retire = text("UPDATE service.signing_key SET retired_at = :now")
        with pytest.raises(DBAPIError, match="permission denied"), connection.begin_nested():
            connection.execute(retire, {"now": NOW + timedelta(days=1)})
