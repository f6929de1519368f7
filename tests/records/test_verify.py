"""Nothing that was changed, and nothing that somebody else signed, is genuine."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jws
from sqlalchemy import Engine

from disputes import hand_over, journal
from disputes.commands import Entry
from disputes.journal import Line
from disputes.model import Case
from disputes.outcomes import Outcome
from service.db import SYSTEM, transaction
from service.records import keys, verify
from service.records.verify import Keys, NotGenuine
from tests.disputes.people import SEED
from tests.http.conftest import new_signing_key
from tests.records.lives import SEALER, Court

_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def flipped(token: str) -> Iterator[str]:
    """The token with each of its characters changed in turn, to its neighbour in base64url."""
    raw = token.encode()
    for place, letter in enumerate(raw):
        other = _LETTERS[_LETTERS.index(letter) ^ 1] if letter != ord(".") else ord("A")
        yield (raw[:place] + bytes([other]) + raw[place + 1 :]).decode()


def test_each_character_of_header_content_and_signature_counts(
    court: Court, published: Callable[[], Keys]
) -> None:
    token = court.decision(court.closed())
    known = published()
    assert verify.verify(token, known).document["outcome"] == "split"
    taken = []
    for forged in flipped(token):
        try:
            verify.verify(forged, known)
        except NotGenuine:
            continue
        taken.append(forged)
    assert taken == []


@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "{}.", "{}.e30", "", ".", ".."])
def test_another_spelling_of_the_same_document_is_not_the_same(
    court: Court, published: Callable[[], Keys], change: str
) -> None:
    token = court.decision(court.closed())
    with pytest.raises(NotGenuine):
        verify.verify(change.format(token), published())


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", None, ["ES256"], "ES384", "HS256"]
)
def test_no_other_algorithm_is_taken(
    court: Court, published: Callable[[], Keys], algorithm: object
) -> None:
    token = court.decision(court.closed())
    head, body, signature = token.split(".")
    header = orjson.loads(decoded(head)) | {"alg": algorithm}
    for end in (signature, ""):
        with pytest.raises(NotGenuine):
            verify.verify(f"{encoded(orjson.dumps(header))}.{body}.{end}", published())


def test_a_document_signed_by_hmac_with_the_public_key_is_not_genuine(
    court: Court, published: Callable[[], Keys]
) -> None:
    token = court.decision(court.closed())
    head, body, _signature = token.split(".")
    header = orjson.loads(decoded(head))
    point = published()[header["kid"]]
    numbers = [int.from_bytes(decoded(point[name])) for name in ("x", "y")]
    public = ec.EllipticCurvePublicNumbers(numbers[0], numbers[1], ec.SECP256R1()).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for secret in (pem, orjson.dumps(dict(point)), decoded(point["x"])):
        said = f"{encoded(orjson.dumps(header | {'alg': 'HS256'}))}.{body}"
        mac = hmac.new(secret, said.encode(), hashlib.sha256).digest()
        with pytest.raises(NotGenuine, match="ES256"):
            verify.verify(f"{said}.{encoded(mac)}", published())


def forged(token: str, *, pem: str, header: dict[str, Any], body: bytes | None = None) -> str:
    head, said, _signature = token.split(".")
    whole = orjson.loads(decoded(head)) | header
    content = decoded(said) if body is None else body
    made: str = jws.sign(content, pem, whole, "ES256")
    return made


def test_another_key_is_not_ours_under_its_own_name_nor_under_ours(
    court: Court, published: Callable[[], Keys]
) -> None:
    token, stranger = court.decision(court.closed()), new_signing_key()
    headers: list[dict[str, Any]] = [{}, {"kid": "A" * 43}, {"kid": None}, {"kid": {}}]
    for header in headers:
        with pytest.raises(NotGenuine):
            verify.verify(forged(token, pem=stranger, header=header), published())


def opened(court: Court) -> str:
    with transaction(court.engine, SYSTEM) as connection:
        return keys.current(connection, SEALER, court.now).pem


def test_what_our_key_signs_is_no_decision_unless_its_type_says_so(
    court: Court, published: Callable[[], Keys]
) -> None:
    token, pem = court.decision(court.closed()), opened(court)
    genuine = forged(token, pem=pem, header={})
    assert verify.verify(genuine, published()).kind == "decision"
    headers: list[dict[str, Any]] = [
        {"typ": "JWT"},
        {"typ": "tierce-receipt+jws"},
        {"typ": None},
        {"crit": ["exp"], "exp": 1},
        {"jwk": {}},
    ]
    for header in headers:
        with pytest.raises(NotGenuine):
            verify.verify(forged(token, pem=pem, header=header), published())
    for body in (b"[]", b"not JSON", b'{"type": "receipt"}', b"{}", b"\xff"):
        with pytest.raises(NotGenuine):
            verify.verify(forged(token, pem=pem, header={}, body=body), published())


def test_a_retired_key_s_documents_stay_genuine_and_new_ones_have_the_new_key(
    court: Court, published: Callable[[], Keys], engine: Engine
) -> None:
    case = court.closed()
    before = court.decision(case)
    with transaction(engine, SYSTEM) as connection:
        retired, made = keys.rotate(connection, SEALER, court.now)
    after = court.decision(court.closed())
    assert verify.verify(before, published()).kid == retired
    assert verify.verify(after, published()).kid == made
    assert court.decision(case) == before


@pytest.mark.parametrize(
    "broken",
    [
        [],
        {},
        {"keys": {}},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": 1, "kid": "x"}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "x"}]},
    ],
)
def test_keys_that_are_not_what_they_say_are_refused(broken: object) -> None:
    with pytest.raises(NotGenuine):
        verify.read_keys(broken)


def test_keys_of_other_sorts_are_passed_over() -> None:
    assert verify.read_keys({"keys": [{"kty": "RSA"}, {"kty": "EC", "crv": "P-384"}, 5]}) == {}


def test_an_export_is_whole_with_its_file_its_journal_and_its_decision(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = court.closed()
    found = verify.verify_export(orjson.loads(orjson.dumps(court.export(case))), published())
    assert found.decision is not None
    assert (found.lines, found.later, found.withheld) == (case.entries, 0, 0)


def sent_back(court: Court) -> Case:
    """A decision that a second mediator did not agree with, and another in its place."""
    case = court.written(court.claimed(), Outcome.CANNOT_DECIDE)
    case = court.act(case, "send_back", mediator_id=case.second_id, text="Read the photographs.")
    return court.written(case)


def test_how_it_was_deliberated_is_kept_back_from_the_sides_and_proven_all_the_same(
    court: Court, published: Callable[[], Keys]
) -> None:
    case = sent_back(court)
    sides, whole = court.export(case), court.export(case, whole=True)
    assert "Read the photographs." not in orjson.dumps(sides).decode()
    assert "decision_written" not in orjson.dumps(sides).decode()
    assert "Read the photographs." in orjson.dumps(whole).decode()
    known = published()
    assert verify.verify_export(sides, known).withheld == 2
    assert verify.verify_export(whole, known).withheld == 0
    assert sides["extract"] == whole["extract"]
    place = next(n for n, line in enumerate(sides["journal"]) if "withheld" in line)
    for change in (
        {"hash": "0" * 64},
        {"previous": "0" * 64},
        {"sequence": 1},
        {"withheld": False},
        {"type": "decided"},
        {"case_id": str(case.subject_id)},
    ):
        lines = list(sides["journal"])
        lines[place] = lines[place] | change
        with pytest.raises(NotGenuine):
            verify.verify_export(sides | {"journal": lines}, known)
    # A line in place of one that is withheld has to be the one that was there.
    lines = list(sides["journal"])
    lines[place] = whole["journal"][place] | {"actor": "payer"}
    with pytest.raises(NotGenuine):
        verify.verify_export(sides | {"journal": lines}, known)


def test_why_a_mediator_stepped_back_is_theirs(court: Court) -> None:
    case = court.claimed()
    assert case.mediator_id is not None
    with court.people.everywhere() as connection:
        hand_over.decline(
            connection, court.platform_id, case.id, case.mediator_id, "She is ill.", SEED, court.now
        )
    assert b"She is ill." in orjson.dumps(court.export(case, whole=True))
    assert b"She is ill." not in orjson.dumps(court.export(case))


def test_an_export_of_a_case_that_goes_on_is_proven_as_far_as_it_went(
    court: Court, published: Callable[[], Keys]
) -> None:
    open_ = verify.verify_export(court.export(court.claimed()), published())
    assert (open_.decision, open_.lines) == (None, 2)
    case = court.told()
    case = court.act(case, "appeal", member_id=case.payee_id, reason_code="procedure", text="No.")
    found = verify.verify_export(court.export(case), published())
    assert found.decision is not None
    assert found.later == case.entries - found.decision.document["journal"]["lines"] > 0


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place in a JSON value that holds no other, as its container and key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        if isinstance(inner, dict | list):
            yield from leaves(inner)
        else:
            yield value, key


def another(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, int):
        return value + 1
    # A character in the middle: of a hash, an instant, an id or a word.
    middle = len(value) // 2
    letter = "1" if value[middle : middle + 1] != "1" else "2"
    return value[:middle] + letter + value[middle + 1 :]


@pytest.mark.parametrize(
    "part", ["file", "journal", "extract", "decision", "stage", "lines", "names", "mode", "payer"]
)
def test_each_place_of_an_export_that_is_changed_is_found(
    court: Court, published: Callable[[], Keys], part: str
) -> None:
    export, known = orjson.loads(orjson.dumps(court.export(court.closed()))), published()
    changed = 0
    for container, key in leaves({part: export[part]}):
        forgery = export | ({part: another(export[part])} if isinstance(export[part], str) else {})
        before = container[key]
        container[key] = another(before)
        with pytest.raises(NotGenuine):
            verify.verify_export(forgery, known)
        container[key] = before
        changed += 1
    assert changed >= 1
    verify.verify_export(export, known)


def test_a_line_that_somebody_chained_on_is_none_of_the_signed_ones(
    court: Court, published: Callable[[], Keys]
) -> None:
    export, known = court.export(court.closed()), published()
    last = Line(
        UUID(export["journal"][-1]["case_id"]),
        len(export["journal"]),
        court.now,
        "closed",
        "clock",
        {},
        b"",
        bytes.fromhex(export["journal"][-1]["hash"]),
    )
    [more] = journal.chain(
        last.case_id, [Entry("decided", "clock")], last.sequence, last.hash, court.now
    )
    forgery = export | {"journal": [*export["journal"], verify.line_as_said(more)]}
    with pytest.raises(NotGenuine, match="other lines than"):
        verify.verify_export(forgery, known)


def test_a_journal_that_was_cut_swapped_or_written_anew_is_found(
    court: Court, published: Callable[[], Keys]
) -> None:
    case, other = court.closed(), court.closed()
    export, elsewhere, known = court.export(case), court.export(other), published()
    whole = export["journal"]
    journals: list[Any] = [
        [],
        whole[:-1],
        whole[1:],
        [whole[1], whole[0], *whole[2:]],
        [*whole, whole[-1]],
        elsewhere["journal"],
        None,
        [{}],
        ["x"],
        [whole[0] | {"sequence": True}, *whole[1:]],
        [whole[0] | {"more": 1}, *whole[1:]],
        [whole[0] | {"data": {"x": 2**70}}, *whole[1:]],
    ]
    for lines in journals:
        with pytest.raises(NotGenuine):
            verify.verify_export(export | {"journal": lines}, known)
    for part in ("decision", "extract", "file"):
        with pytest.raises(NotGenuine):
            verify.verify_export(export | {part: elsewhere[part]}, known)
    for more in ({"version": 2}, {"verdict": "to_payer"}, {"stage": None}):
        with pytest.raises(NotGenuine, match="otherwise"):
            verify.verify_export(export | more, known)
    for part in ("extract", "journal", "file", "decision", "evidence", "mode"):
        without = copy.copy(export)
        del without[part]
        with pytest.raises(NotGenuine):
            verify.verify_export(without, known)
    with pytest.raises(NotGenuine, match="stands a decision"):
        verify.verify_export(export | {"extract": export["decision"]}, known)
