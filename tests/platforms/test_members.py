"""Members: the platform's own name for them, and personal data that can be erased."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service.db import SYSTEM, transaction
from service.ids import encode, uuid7
from service.platforms import members
from service.platforms.members import ExternalIdTaken, Member, MemberErased, MemberNotFound

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
PERSON = {"name": "Anne Le Goff", "email": "anne@example.org", "phone": "+33612345678"}


def _create(engine: Engine, platform_id: UUID, external_id: str, **more: Any) -> Member:
    with transaction(engine, platform_id) as connection:
        return members.create(connection, platform_id, external_id, NOW, **more)


def _find(engine: Engine, platform_id: UUID, member_id: UUID) -> Member:
    with transaction(engine, platform_id) as connection:
        return members.find(connection, platform_id, member_id)


def test_a_member_is_found_as_it_was_added(engine: Engine, platform_id: UUID) -> None:
    made = _create(engine, platform_id, "anne", locale="br", time_zone="Europe/Paris", **PERSON)
    assert _find(engine, platform_id, made.id) == made


def test_an_external_id_belongs_to_one_member_of_the_platform(
    engine: Engine, platform_id: UUID, new_platform: Callable[[], UUID]
) -> None:
    first = _create(engine, platform_id, "anne")
    with pytest.raises(ExternalIdTaken) as caught:
        _create(engine, platform_id, "anne")
    assert caught.value.facts == {"member": encode("member", first.id)}
    assert _create(engine, new_platform(), "anne").id != first.id


def test_a_change_touches_what_it_names_and_can_take_a_value_away(
    engine: Engine, platform_id: UUID
) -> None:
    made = _create(engine, platform_id, "anne", **PERSON)
    with transaction(engine, platform_id) as connection:
        changed = members.change(connection, platform_id, made.id, {"locale": "en", "phone": None})
    assert changed == _find(engine, platform_id, made.id)
    assert (changed.locale, changed.phone, changed.email) == ("en", None, PERSON["email"])
    assert changed.time_zone == made.time_zone


def test_erasing_leaves_the_bare_id_and_nothing_that_says_who_it_was(
    engine: Engine, platform_id: UUID
) -> None:
    made = _create(engine, platform_id, "anne-le-goff-1947", **PERSON)
    with transaction(engine, platform_id) as connection:
        members.erase(connection, platform_id, made.id, NOW + timedelta(days=1))
    erased = _find(engine, platform_id, made.id)
    assert erased.erased_at == NOW + timedelta(days=1)
    with transaction(engine, SYSTEM) as connection:
        left = connection.execute(
            text(
                "SELECT coalesce(string_agg(m::text, ''), '') || "
                "(SELECT coalesce(string_agg(p::text, ''), '') FROM service.member_person p "
                "WHERE p.platform_id = :platform_id) "
                "FROM service.member m WHERE m.platform_id = :platform_id"
            ),
            {"platform_id": platform_id},
        ).scalar_one()
    assert str(made.id) in left
    for trace in ("anne-le-goff-1947", *PERSON.values()):
        assert trace not in left


def test_an_erased_member_is_not_changed_and_not_erased_again(
    engine: Engine, platform_id: UUID
) -> None:
    made = _create(engine, platform_id, "anne", **PERSON)
    with transaction(engine, platform_id) as connection:
        members.erase(connection, platform_id, made.id, NOW)
    with transaction(engine, platform_id) as connection, pytest.raises(MemberErased):
        members.change(connection, platform_id, made.id, {"name": "Anne again"})
    with transaction(engine, platform_id) as connection, pytest.raises(MemberErased):
        members.erase(connection, platform_id, made.id, NOW)
    # The name is free again: the person may come back as somebody new.
    assert _create(engine, platform_id, "anne").id != made.id


def test_pages_come_newest_first_and_meet_every_member_once(
    engine: Engine, platform_id: UUID
) -> None:
    made = [_create(engine, platform_id, f"member-{n}").id for n in range(7)]
    seen: list[UUID] = []
    with transaction(engine, platform_id) as connection:
        while page := members.page(
            connection, platform_id, limit=3, after=seen[-1] if seen else None
        ):
            seen += [one.id for one in page]
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)


def test_a_member_of_another_platform_is_as_unknown_as_one_that_never_was(
    engine: Engine, platform_id: UUID, new_platform: Callable[[], UUID]
) -> None:
    made = _create(engine, platform_id, "anne")
    other = new_platform()
    told = []
    for member_id in (made.id, uuid7()):
        with pytest.raises(MemberNotFound) as caught:
            _find(engine, other, member_id)
        told.append((str(caught.value), caught.value.facts))
    assert told[0] == told[1]
