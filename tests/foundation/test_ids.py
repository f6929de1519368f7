"""Identifiers: in order, and never taken for one another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ids import PREFIXES, decode, encode, heard, spoken, uuid7


def test_ids_of_one_process_only_ever_grow_and_never_repeat() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(one.version == 7 and one.variant == RFC_4122 for one in made)


def test_ids_made_in_many_threads_at_once_never_repeat() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [
            one
            for some in pool.map(lambda _: [uuid7() for _ in range(2_000)], range(8))
            for one in some
        ]
    assert len(set(made)) == 16_000


@given(st.uuids(), st.sampled_from(sorted(PREFIXES)))
def test_a_public_id_reads_back_as_what_it_was(value: UUID, kind: str) -> None:
    assert decode(kind, encode(kind, value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mb_",
        "ex_0001j5x7v4e9tsmwd8w1c9xk5v",
        "mb_0001j5x7v4e9tsmwd8w1c9xk5",
        "mb_0001j5x7v4e9tsmwd8w1c9xk5vv",
        "mb_0001j5x7v4e9tsmwd8w1c9xk5U",
        "mb_zzzzzzzzzzzzzzzzzzzzzzzzzz",
        "MB_0001j5x7v4e9tsmwd8w1c9xk5v",
        "mb_0001j5x7v4e9tsmwd8w1c9xk5\u0661",
    ],
)
def test_anything_else_is_not_the_id_of_a_member(text: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a member"):
        decode("member", text)


@given(st.uuids(version=4))
def test_a_short_number_is_heard_as_what_was_said(value: UUID) -> None:
    said = spoken(value)
    assert len(said) == 9
    for way in (said, said.lower(), said.replace(" ", ""), said.replace(" ", "-")):
        assert heard(way) == str(value)[-10:]


def test_letters_that_sound_or_look_alike_are_heard_as_digits() -> None:
    assert heard("oIl0 0011") == heard("0110 0011")


@pytest.mark.parametrize(
    "text", ["", "4DKC EN3", "4DKC EN3J7", "4DKC EN3U", "un vélo", "４DKC EN3J"]
)
def test_anything_else_is_no_short_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a short number"):
        heard(text)
