"""Whatever comes from outside is read, or refused in words of ours: no parser falls over.

Hypothesis looks for what would break them; each name of the list is a door of the service.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from disputes import documents, images, sniff
from ledger.refusals import Refusal
from service.events.guard import Guard
from service.http import jsonbody, pages, uploads
from service.http.refusals import BadRequest, InvalidBody, InvalidText
from service.ids import decode, encode, uuid7
from service.mediators import throttle, totp
from service.messages import bounces
from service.platforms.tokens import Signer
from service.sandbox import durations

TRIES: Final = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
NOW: Final = datetime(2027, 1, 1, tzinfo=UTC)
_PATH: Final = bounces.ReturnPath("bounces@tierce.test", "a secret of a test, long enough")
_PEM: Final = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)
_SIGNER: Final = Signer(_PEM, "http://tierce.test")
_TOKEN: Final = _SIGNER.issue(uuid7(), uuid7(), NOW)[0]

#: Texts that come near what is read: pieces of it, put together in every way.
_PIECES: Final = st.lists(
    st.sampled_from(
        [
            *("P", "T", "1", "D", "-", "+", ".", "@", ":", "/", "[", "]", "http", "https://", "%"),
            *("\x00", "\ud800", "é", "=", "eyJhbGciOiJub25lIn0", "mb_", "0", "9" * 30, "bounces+"),
        ]
    ),
    max_size=12,
).map("".join)
_TEXT: Final = st.one_of(st.text(max_size=200), _PIECES)


def _any_token(given: str) -> object:
    return _SIGNER.verify(given, NOW)


def _any_url(given: str) -> object:
    return Guard(allow_private=False).check_form(given)


TEXTS: Final[dict[str, Callable[[str], object]]] = {
    "a length of time": durations.read,
    "a cursor": lambda text: pages.decode_cursor(text, UUID, pages.whole),
    "an id": lambda text: decode("member", text),
    "words beside a file": uploads.spoken,
    "a member's token": _any_token,
    "a webhook's address": _any_url,
    "a return path": _PATH.read,
    "a one-time code": lambda text: totp.matching(totp.new_secret(), text, NOW),
    "a client's address": throttle.prefix,
}


@pytest.mark.parametrize("door", TEXTS)
def test_no_text_breaks_a_door(door: str) -> None:
    @TRIES
    @given(_TEXT)
    @example("")
    @example("\x00")
    @example("9" * 5_000)
    def tried(text: str) -> None:
        # Refused: by a refusal, or by what its caller turns into one.
        with suppress(Refusal, ValueError):
            TEXTS[door](text)

    tried()


BYTES: Final[dict[str, Callable[[bytes], object]]] = {
    "a JSON body": jsonbody.parse,
    "a mail that came back": lambda raw: bounces.read(raw, _PATH),
    "the head of a file": lambda raw: sniff.sniff(raw[: sniff.HEAD]),
    "a PDF": documents.check,
    "a photograph": lambda raw: images.clean(raw, "image/jpeg"),
}
_BEGINNINGS: Final = st.sampled_from(
    [
        *(b"", b"%PDF-1.7\n", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"),
        *(b"RIFF....WEBP", b"GIF89a", b'{"a": ', b"[" * 2_000),
        b"To: bounces+x@tierce.test\nContent-Type: multipart/report\n\n",
    ]
)


@pytest.mark.parametrize("door", BYTES)
def test_no_bytes_break_a_door(door: str) -> None:
    @TRIES
    @given(st.tuples(_BEGINNINGS, st.binary(max_size=400)).map(b"".join))
    @example(b"\xff\xfe\x00\x00")
    @example(b"{" * 100_000)
    def tried(raw: bytes) -> None:
        with suppress(Refusal):
            BYTES[door](raw)

    tried()


@TRIES
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_json_is_read_as_it_was_meant_or_refused(value: Any) -> None:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    read: Any = None
    with suppress(InvalidBody, InvalidText, BadRequest):
        read = jsonbody.parse(body)
    assert read in (None, value)


@TRIES
@given(st.integers(0, len(_TOKEN) - 1), st.characters(max_codepoint=0x7E, min_codepoint=0x21))
def test_a_token_in_which_one_letter_is_another_opens_nothing(place: int, letter: str) -> None:
    forged = _TOKEN[:place] + letter + _TOKEN[place + 1 :]
    if _same(forged, _TOKEN):
        return
    with pytest.raises(Refusal):
        _SIGNER.verify(forged, NOW)


def _same(one: str, other: str) -> bool:
    """Tell whether two tokens are the same bytes: base64 leaves bits of its last letter unused."""

    def parts(token: str) -> list[bytes] | None:
        try:
            return [base64.urlsafe_b64decode(part + "==") for part in token.split(".")]
        except ValueError:
            return None

    return one == other or parts(one) == parts(other)


@TRIES
@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=9_999)))
def test_lengths_of_time_that_are_said_are_read(length: timedelta) -> None:
    whole = timedelta(seconds=int(length.total_seconds()))
    assert durations.read(durations.say(whole)) == whole


@TRIES
@given(st.uuids())
def test_ids_that_are_written_are_read(value: UUID) -> None:
    assert decode("member", encode("member", value)) == value
