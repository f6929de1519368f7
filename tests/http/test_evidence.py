"""Evidence over HTTP: brought, read and refused, for the case's people alone."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import Engine, text

from disputes import evidence
from service import db
from service.config import Settings
from service.ids import encode, uuid7
from tests.disputes import samples
from tests.http.claimed import Claimed, claim
from tests.http.client import Api, at_once, problem
from tests.http.deal import Deal, make_deal

PHOTO = samples.encoded(samples.image(), "JPEG")
CARRIER = {"event": "delivered", "at": "2026-10-01T09:00:00Z", "carrier": "La Poste"}


@pytest.fixture
def damaged(paid: Deal) -> Claimed:
    return claim(paid)


def kept(settings: Settings) -> set[str]:
    """The names of all files that are kept."""
    assert settings.files_url is not None
    return {path.name for path in Path(settings.files_url).rglob("*") if path.is_file()}


def nothing_kept(damaged: Claimed, before: set[str], settings: Settings) -> None:
    assert damaged.api.read(damaged.path)["data"] == []
    assert kept(settings) == before
    assert damaged.case().entries == 1
    assert damaged.deal.state() == "active"


def test_a_side_says_what_happened_and_the_other_reads_it(damaged: Claimed) -> None:
    made = damaged.payer.made(damaged.path, {"sort": "text", "text": "The frame is bent."})
    assert (made["by"], made["via"], made["late"], made["number"]) == ("payer", "member", False, 1)
    assert made["sha256"] == evidence.content_hash("text", "The frame is bent.", {}, None)
    for reader in (damaged.payer, damaged.payee, damaged.api):
        found = reader.read(damaged.path)
        assert found["data"] == [made]
        assert found["missing"] == ["photo"]


def test_a_platform_brings_for_a_member_and_of_its_own(damaged: Claimed) -> None:
    payee = damaged.deal.payee["id"]
    for_member = damaged.api.made(
        damaged.path, {"sort": "text", "text": "I packed it well.", "member": payee}
    )
    own = damaged.api.made(damaged.path, {"sort": "carrier", "carrier": CARRIER})
    assert (for_member["by"], for_member["via"]) == ("payee", "platform")
    assert (own["by"], own["via"], own["facts"]) == ("platform", "platform", CARRIER)
    hand_over = {"method": "slip", "at": "2026-10-01T09:00:00Z", "checkpoint": "handover"}
    made = damaged.api.made(damaged.path, {"sort": "handover_proof", "hand_over": hand_over})
    assert made["facts"] == hand_over
    slip = damaged.sent(PHOTO, damaged.api, "handover_proof")
    assert (slip["by"], slip["file"]["media_type"]) == ("platform", "image/jpeg")


def test_the_platform_is_told_of_it_and_not_of_what_it_says(damaged: Claimed) -> None:
    damaged.payer.made(damaged.path, {"sort": "text", "text": "The frame is bent."})
    events = damaged.api.events(1)
    (told,) = [event for event in events if event["type"] == "case.evidence_added"]
    assert told["data"]["sort"] == "text"
    assert told["data"]["by"] == "payer"
    assert "bent" not in str(events)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"sort": "carrier", "carrier": CARRIER}, "evidence_sort_refused"),
        ({"sort": "text"}, "evidence_sort_refused"),
        ({"sort": "condition_out", "part": "frame"}, "evidence_sort_refused"),
        ({"sort": "text", "text": "x", "carrier": CARRIER}, "invalid_request"),
        ({"sort": "carrier"}, "invalid_request"),
        ({"sort": "text", "text": "x", "part": "frame"}, "invalid_request"),
        ({"sort": "photo", "text": "x"}, "invalid_request"),
        ({"sort": "gps", "text": "x"}, "invalid_request"),
        ({"sort": "text", "text": "x" * 20_001}, "invalid_request"),
        ({"sort": "carrier", "carrier": CARRIER | {"weight": 1}}, "invalid_request"),
    ],
)
def test_what_a_side_may_not_bring_is_refused(
    damaged: Claimed, body: dict[str, Any], code: str
) -> None:
    problem(damaged.payer.post(damaged.path, body), 422, code)
    assert damaged.case().entries == 1


def test_the_other_side_of_the_address_is_nobody_s_to_speak_for(damaged: Claimed) -> None:
    body = {"sort": "text", "text": "x", "member": damaged.deal.payer["id"]}
    problem(damaged.payee.post(damaged.path, body), 403, "not_yourself")
    stranger = damaged.api.member()
    answer = damaged.api.post(damaged.path, body | {"member": stranger["id"]})
    problem(answer, 404, "not_your_case")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_comes_back_without_where_it_was_taken(damaged: Claimed, format_: str) -> None:
    sent = samples.located(format_)
    made = damaged.sent(sent, damaged.payer, text="Le cadre était « droit ».")
    assert made["text"] == "Le cadre était « droit »."
    assert made["file"]["original_sha256"] == hashlib.sha256(sent).hexdigest()
    for reader in (damaged.payer, damaged.payee, damaged.api):
        answer = reader.get(made["file"]["path"])
        assert answer.status_code == 200
        assert hashlib.sha256(answer.content).hexdigest() == made["file"]["sha256"]
        assert len(answer.content) == made["file"]["size"]
        assert not any(secret in answer.content for secret in samples.SECRETS)
        assert not Image.open(io.BytesIO(answer.content)).getexif()


def test_a_file_is_sent_to_be_saved_and_runs_nothing(damaged: Claimed) -> None:
    made = damaged.sent(samples.plain_pdf(), damaged.payer, "document")
    headers = damaged.payee.get(made["file"]["path"]).headers
    assert headers["content-type"] == "application/pdf"
    assert headers["content-disposition"] == f'attachment; filename="{made["id"]}.pdf"'
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (samples.SVG, 415, "file_type_refused"),
        (samples.zip_bomb(), 415, "file_type_refused"),
        (b"<html><script>alert(1)</script>", 415, "file_type_refused"),
        (samples.encoded(samples.image(), "GIF"), 415, "file_type_refused"),
        (samples.huge_png(), 413, "image_too_large"),
        (PHOTO[:300], 422, "file_unreadable"),
        (b"", 422, "file_unreadable"),
        (samples.pdf(b"<< /S /JavaScript /JS (x) >>"), 422, "file_has_active_content"),
        (samples.plain_pdf() + samples.zip_bomb(), 422, "file_unreadable"),
        (samples.plain_pdf(), 422, "evidence_sort_refused"),  # no photograph
    ],
)
def test_a_file_of_the_wrong_kind_is_refused_and_nothing_is_kept(
    damaged: Claimed, app_settings: Settings, content: bytes, status: int, code: str
) -> None:
    before = kept(app_settings)
    for declared in ("image/png", "image/jpeg", "application/octet-stream"):
        answer = damaged.payer.send(
            "POST",
            f"{damaged.path}/files",
            headers={"Content-Type": declared},
            content=content,
            params={"sort": "photo"},
        )
        problem(answer, status, code)
    nothing_kept(damaged, before, app_settings)


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (b"%C3%28", 422, "invalid_text"),
        (b"nul%00", 422, "invalid_text"),
        ("été".encode("latin-1"), 422, "invalid_text"),
        (b"%ED%A0%80", 422, "invalid_text"),  # half of a surrogate pair
        (b"x" * 1_001, 413, "body_too_large"),
        (b"x" * 9_001, 422, "invalid_request"),
    ],
)
def test_words_beside_a_file_are_read_strictly(
    damaged: Claimed, words: bytes, status: int, code: str
) -> None:
    answer = damaged.payer.send(
        "POST",
        f"{damaged.path}/files",
        headers={"Evidence-Text": words},
        content=PHOTO,
        params={"sort": "photo"},
    )
    problem(answer, status, code)
    assert damaged.case().entries == 1


def test_a_file_that_is_two_things_is_kept_as_an_image_alone(damaged: Claimed) -> None:
    made = damaged.sent(PHOTO + samples.SVG + samples.zip_bomb(), damaged.payer)
    content = damaged.payee.get(made["file"]["path"]).content
    assert b"<svg" not in content
    assert b"PK\x05\x06" not in content


def test_two_hundred_megabytes_are_refused_and_not_read_to_their_end(
    damaged: Claimed, app_settings: Settings
) -> None:
    before, given = kept(app_settings), 0
    piece = PHOTO + bytes(64 * 1024)

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 200 * 1024 * 1024:
            given += len(piece)
            yield piece

    problem(damaged.send(body(), damaged.payer), 413, "body_too_large")
    assert given <= app_settings.max_file_bytes + 2 * len(piece)
    nothing_kept(damaged, before, app_settings)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read(damaged: Claimed) -> None:
    given = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        given += 1
        yield b"x"

    answer = damaged.payer.send(
        "POST",
        f"{damaged.path}/files",
        headers={"Content-Length": str(200 * 1024 * 1024)},
        content=body(),
        params={"sort": "photo"},
    )
    problem(answer, 413, "body_too_large")
    assert given == 0


def test_only_where_files_go_is_a_large_body_taken(damaged: Claimed) -> None:
    answer = damaged.payer.post(damaged.path, {"sort": "text", "text": "x" * 2_000_000})
    problem(answer, 413, "body_too_large")


def test_nothing_is_read_of_whoever_may_not_bring_it(
    damaged: Claimed, neighbour: Api, anonymous: Api
) -> None:
    given = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal given
        given += 1
        yield PHOTO

    stranger = damaged.api.acting(damaged.api.member()["id"])
    problem(damaged.send(body(), neighbour), 404, "case_not_found")
    problem(damaged.send(body(), stranger), 404, "case_not_found")
    problem(damaged.send(body(), anonymous), 401, "not_signed_in")
    no_key = damaged.payer.server.send(
        "POST",
        f"{damaged.path}/files",
        headers={"Authorization": f"Bearer {damaged.payer.bearer}"},
        params={"sort": "photo"},
        content=body(),
    )
    problem(no_key, 400, "idempotency_key_missing")
    problem(damaged.send(body(), damaged.payer, "handover_proof"), 422, "evidence_sort_refused")
    assert given == 0


def test_a_side_brings_so_many_pieces_and_is_told_before_the_next_is_read(
    damaged: Claimed, engine: Engine
) -> None:
    one = {"sort": "text", "text": "Once more."}
    for _ in range(evidence.MOST_PIECES):
        damaged.payer.made(damaged.path, one)
    problem(damaged.payer.post(damaged.path, one), 409, "too_much_evidence")
    problem(damaged.send(PHOTO, damaged.payer), 409, "too_much_evidence")
    damaged.sent(PHOTO, damaged.payee)


def test_the_same_file_under_the_same_key_is_one_piece(damaged: Claimed) -> None:
    key = secrets.token_hex(16)
    first = damaged.send(PHOTO, damaged.payer, key=key, text="The frame.")
    again = damaged.send(PHOTO, damaged.payer, key=key, text="The frame.")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    other = damaged.send(PHOTO, damaged.payer, key=key, text="Something else.")
    problem(other, 422, "idempotency_key_reused")
    problem(
        damaged.send(samples.located(), damaged.payer, key=key, text="The frame."),
        422,
        "idempotency_key_reused",
    )
    assert len(damaged.api.read(damaged.path)["data"]) == 1


def test_the_same_file_sent_many_times_at_once_is_one_piece(damaged: Claimed) -> None:
    key, payer = secrets.token_hex(16), damaged.payer
    answers = at_once(*[partial(damaged.send, PHOTO, payer, key=key)] * 4)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(damaged.api.read(damaged.path)["data"]) == 1


def test_both_sides_bring_at_once_and_each_piece_has_its_number(damaged: Claimed) -> None:
    payer, payee = damaged.payer, damaged.payee
    made = at_once(
        *[partial(payer.made, damaged.path, {"sort": "text", "text": "Bent."})] * 3,
        *[partial(payee.made, damaged.path, {"sort": "text", "text": "Whole."})] * 3,
    )
    assert sorted(one["number"] for one in made) == [1, 2, 3, 4, 5, 6]
    assert damaged.case().entries == 7


def test_one_file_of_two_cases_is_one_file_and_no_way_from_one_to_the_other(
    damaged: Claimed, neighbour: Api, engine: Engine, app_settings: Settings
) -> None:
    theirs = make_deal(neighbour, engine, agreed=True)
    theirs.fund()
    other = claim(theirs)
    mine = damaged.sent(PHOTO, damaged.payer)
    elsewhere = other.sent(PHOTO, other.payer)
    hash_ = mine["file"]["sha256"]
    assert elsewhere["file"]["sha256"] == hash_
    assert hash_ in kept(app_settings)
    # Who knows the hash, the piece or the case of somebody else has nothing by it.
    case = encode("case", damaged.case_id)
    for path in (
        mine["file"]["path"],
        f"{other.path}/{mine['id']}/file",
        f"{other.path}/{hash_}/file",
        f"/v1/cases/{case}/evidence/{elsewhere['id']}/file",
        damaged.path,
        f"{damaged.path}/views",
    ):
        assert neighbour.get(path).status_code == 404, path
        assert other.payer.get(path).status_code == 404, path


@pytest.mark.parametrize(
    "path",
    [
        "/v1/cases/{case}/evidence/../../../etc/passwd/file",
        "/v1/cases/{case}/evidence/..%2f..%2fsecrets%2fcode.key/file",
        "/v1/cases/{case}/evidence/%2e%2e/file",
        "/v1/cases/..%2f..%2fetc/evidence",
        "/v1/cases/{case}%2f..%2f{case}/evidence",
        "/v1/cases/{case}/evidence/ev_..................aaaaaaaa/file",
    ],
)
def test_no_address_leads_out_of_the_files(damaged: Claimed, path: str) -> None:
    answer = damaged.payer.get(path.format(case=encode("case", damaged.case_id)))
    problem(answer, 404, "not_found")


def test_what_is_not_there_is_told_as_what_is_a_stranger_s(damaged: Claimed) -> None:
    said = damaged.payer.made(damaged.path, {"sort": "text", "text": "x"})
    unknown = encode("evidence", uuid7())
    for id_ in (said["id"], unknown):
        answer = damaged.payer.get(f"{damaged.path}/{id_}/file")
        problem(answer, 404, "evidence_not_found")
    missing = f"/v1/cases/{encode('case', uuid7())}/evidence"
    problem(damaged.payer.get(missing), 404, "case_not_found")
    problem(damaged.payer.post(missing, {"sort": "text", "text": "x"}), 404, "case_not_found")


def test_every_look_is_on_the_record(damaged: Claimed) -> None:
    made = damaged.sent(PHOTO, damaged.payer)
    damaged.payee.read(damaged.path)
    damaged.api.get(made["file"]["path"])
    damaged.payee.get(made["file"]["path"])
    damaged.payee.get(f"{damaged.path}/{encode('evidence', uuid7())}/file")
    found = damaged.payer.read(f"{damaged.path}/views")["data"]
    assert [(one["by"], one["evidence"], one["list_up_to"]) for one in found] == [
        ("payee", None, 1),
        ("platform", made["id"], None),
        ("payee", made["id"], None),
    ]


def test_condition_records_are_shown_side_by_side(damaged: Claimed) -> None:
    out = damaged.sent(PHOTO, damaged.payee, "condition_out", part="left pedal")
    back = damaged.sent(PHOTO, damaged.payer, "condition_back", part="left pedal")
    bell = damaged.payer.made(damaged.path, {"sort": "condition_back", "text": "It was gone."})
    assert damaged.api.read(damaged.path)["condition"] == [
        {"part": "left pedal", "out": [out["id"]], "back": [back["id"]]},
        {"part": None, "out": [], "back": [bell["id"]]},
    ]


def test_a_closed_case_takes_nothing_more_and_is_read_until_its_date(damaged: Claimed) -> None:
    made = damaged.sent(PHOTO, damaged.payer)
    assert made["delete_at"] is None
    case = damaged.step("withdraw_claim", member_id=damaged.case().payer_id)
    assert case.closed_at is not None
    said = {"sort": "text", "text": "And another thing."}
    problem(damaged.payer.post(damaged.path, said), 409, "case_closed")
    problem(damaged.send(PHOTO, damaged.payee), 409, "case_closed")
    [found] = damaged.payee.read(damaged.path)["data"]
    assert found["delete_at"] is not None
    assert damaged.payee.get(made["file"]["path"]).status_code == 200


def test_keys_read_and_write_by_their_scopes(
    damaged: Claimed, new_api: Callable[..., Api], engine: Engine
) -> None:
    platform_id = damaged.deal.platform_id
    reader = new_api("cases:read", platform_id=platform_id)
    writer = new_api("cases:write", platform_id=platform_id)
    body = {"sort": "carrier", "carrier": CARRIER}
    problem(reader.post(damaged.path, body), 403, "scope_missing")
    problem(writer.get(damaged.path), 403, "scope_missing")
    writer.made(damaged.path, body)
    assert len(reader.read(damaged.path)["data"]) == 1
    for_member = {"sort": "text", "text": "x", "member": damaged.deal.payer["id"]}
    problem(writer.post(damaged.path, for_member), 403, "scope_missing")


def test_a_file_that_was_swept_meanwhile_is_stored_again(
    damaged: Claimed, app_settings: Settings, engine: Engine
) -> None:
    made = damaged.sent(PHOTO, damaged.payer)
    files = damaged.api.server.app.state.edge.files
    assert files.remove(made["file"]["sha256"])
    damaged.sent(PHOTO, damaged.payee)
    assert damaged.payee.get(made["file"]["path"]).status_code == 200
    with db.transaction(engine, db.SYSTEM) as connection:
        query = text("SELECT count(*) FROM disputes.evidence WHERE file_hash = :hash")
        assert connection.scalar(query, {"hash": made["file"]["sha256"]}) >= 2
