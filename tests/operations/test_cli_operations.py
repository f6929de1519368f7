"""``tierce dead-letters`` and what ``tierce doctor`` says of an instance at work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service.cli import doctor_operations
from service.cli.main import main
from service.config import settings
from service.db import transaction
from service.ids import encode, uuid7
from service.operations import dead_letters

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def own_database(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("TIERCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIERCE_HOME", str(tmp_path))
    monkeypatch.setenv("TIERCE_DATABASE_URL", database_url)
    settings.cache_clear()
    yield
    settings.cache_clear()


def _letter(engine: Engine, platform_id: UUID) -> str:
    subject = {"payment": encode("payment", uuid7())}
    with transaction(engine, platform_id) as connection:
        made = dead_letters.record(connection, platform_id, "payment", subject, "boom", NOW, 5)
    return encode("dead_letter", made)


def test_dead_letters_are_listed_and_taken_up_again(
    own_database: None,
    engine: Engine,
    platform_id: UUID,
    capsys: pytest.CaptureFixture[str],
) -> None:
    platform = encode("platform", platform_id)
    assert main(["dead-letters", "list", "--platform", platform]) == 0
    assert "Nothing was given up." in capsys.readouterr().out
    letter = _letter(engine, platform_id)
    assert main(["dead-letters", "list", "--platform", platform]) == 1
    out = capsys.readouterr().out
    assert letter in out
    assert "boom" in out
    assert main(["dead-letters", "retry", letter]) == 0
    assert f"{letter}  payment  gone" in capsys.readouterr().out
    assert main(["dead-letters", "retry", letter]) == 1
    assert main(["dead-letters", "list", "--platform", platform, "--all"]) == 0
    assert "gone" in capsys.readouterr().out


def test_every_open_letter_of_a_kind_is_taken_up_again(
    own_database: None, engine: Engine, platform_id: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = {_letter(engine, platform_id) for _ in range(3)}
    assert main(["dead-letters", "retry", "--every", "--work", "payment"]) == 0
    out = capsys.readouterr().out
    assert all(letter in out for letter in letters)
    assert main(["dead-letters", "list", "--platform", encode("platform", platform_id)]) == 0


@pytest.mark.parametrize("given", [["retry"], ["retry", "pay_1"], ["retry", "dl_1", "--every"]])
def test_what_is_no_dead_letter_is_refused(
    own_database: None, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["dead-letters", *given])
    assert left.value.code == 2


def _bad(state: doctor_operations.State) -> list[str]:
    told = doctor_operations.tell(state, NOW)
    return [what for well, what, _mend in told if not well]


def test_the_doctor_tells_what_is_late_and_who_is_missing(
    own_database: None, engine: Engine
) -> None:
    found = doctor_operations.look(engine, NOW)
    calm = dict.fromkeys(found.reading, 0.0)
    both = {"api": NOW, "worker": NOW}
    assert _bad(doctor_operations.State(calm, both)) == []
    stopped = {kind: NOW - timedelta(days=1) for kind in both}
    assert _bad(doctor_operations.State(calm, stopped)) == []
    assert _bad(doctor_operations.State(calm, {})) == []
    alone = _bad(doctor_operations.State(calm, {**both, "worker": NOW - timedelta(minutes=5)}))
    assert [what.split()[0] for what in alone] == ["worker"]
    for key, word in (
        (("tierce_timers_oldest_seconds", None), "timers"),
        (("tierce_webhooks_oldest_seconds", None), "webhooks"),
        (("tierce_feed_lag_seconds", "messages"), "events for messages"),
        (("tierce_dead_letters_open", "timer"), "dead letters"),
    ):
        (what,) = _bad(doctor_operations.State({**calm, key: 5_000.0}, both))
        assert what.startswith(word)
