"""Evidence on the desk's pages: shown as what it is, to whoever decides, and written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from disputes import views
from service import db
from service.ids import decode, encode
from tests.disputes import samples
from tests.http.claimed import Claimed
from tests.web.desk.browser import error, text_of
from tests.web.desk.conftest import Join

PHOTO: Final = samples.encoded(samples.image(), "JPEG")


def path(found: Claimed) -> str:
    return f"/desk/cases/{encode('case', found.case_id)}"


def test_pictures_are_shown_as_pictures_and_documents_are_saved(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    photo = found.sent(samples.located(), found.payer, text="Son message.")
    paper = found.sent(samples.pdf(), found.payee, "document")
    page = maud.read(f"{path(found)}/evidence")
    assert f'<img src="{path(found)}/evidence/{photo["id"]}/file" alt="Son message."' in page
    assert f'href="{path(found)}/evidence/{paper["id"]}/file" download' in page
    for made, how, kind in (
        (photo, "inline", "image/jpeg"),
        (paper, "attachment", "application/pdf"),
    ):
        file = maud.get(f"{path(found)}/evidence/{made['id']}/file")
        assert file.status_code == 200
        assert file.headers["content-type"] == kind
        assert file.headers["content-disposition"].startswith(how)
        assert "sandbox" in file.headers["content-security-policy"]
        assert "default-src 'none'" in file.headers["content-security-policy"]
        assert file.headers["x-content-type-options"] == "nosniff"
        assert file.headers["cache-control"] == "private, no-store"
        assert not any(secret in file.content for secret in samples.SECRETS)


def test_a_picture_is_enlarged_and_the_pieces_are_leafed_through(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    first, second = (found.sent(PHOTO, found.payer, text=f"Image {n}") for n in (1, 2))
    at = f"{path(found)}/evidence/{first['id']}"
    page = maud.read(f"{at}?zoom=400")
    assert "viewer zoom400" in page
    assert f'rel="next" data-key="j" href="{path(found)}/evidence/{second["id"]}"' in page
    assert "viewer zoom100" in maud.read(f"{at}?zoom=9000")
    assert maud.get(f"{path(found)}/evidence/nonsense").status_code == 404
    assert maud.get(f"{path(found)}/evidence/nonsense/file").status_code == 404


def test_before_and_after_stand_beside_each_other(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    found.sent(PHOTO, found.payee, "condition_out", part="cadre")
    found.sent(PHOTO, found.payer, "condition_back", part="cadre")
    said = text_of(maud.read(f"{path(found)}/evidence"))
    assert "Avant et après : cadre Avant Pièce 1" in said
    assert "Après Pièce 2" in said


def test_each_look_is_written_down_and_nobody_else_gets_a_look(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    sitting = join()
    found = pressed()
    made = found.sent(PHOTO, found.payer)
    sitting.browser.read(f"{path(found)}/evidence")
    sitting.browser.get(f"{path(found)}/evidence/{made['id']}/file")
    stranger, boss = join().browser, join(roles=["supervisor"]).browser
    for browser in (stranger, boss):
        assert browser.get(f"{path(found)}/evidence").status_code == 404
        assert browser.get(f"{path(found)}/evidence/{made['id']}").status_code == 404
        assert browser.get(f"{path(found)}/evidence/{made['id']}/file").status_code == 404
    with db.transaction(found.deal.engine, found.deal.platform_id) as connection:
        looks = views.of_case(connection, found.deal.platform_id, found.case_id)
    assert [(one.viewer, one.evidence_id, one.upto) for one in looks] == [
        (f"mediator:{sitting.person.uuid}", None, 1),
        (f"mediator:{sitting.person.uuid}", decode("evidence", made["id"]), None),
    ]


def test_a_side_is_asked_for_what_the_reason_lists_and_for_nothing_else(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    at = f"{path(found)}/do/ask"
    for nothing in (
        "",
        "payee.sort.carrier",
        "payee.question.what_happened",
        "payee.sort",
        "x.y.z",
    ):
        refused = maud.post(at, maud.fill(at, asked=nothing))
        assert refused.status_code == 422
        assert "Choisissez ce que vous demandez" in error(refused.text)
    form = maud.fill(at, asked="payee.question.what_do_you_know")
    for _ in range(2):
        done = maud.post(at, form)
        assert done.headers["location"] == f"{path(found)}?done=ask"
    shown = text_of(maud.read(f"{path(found)}?done=ask"))
    assert "La demande est envoyée." in shown
    assert shown.count("réponse attendue jusqu'à") == 1
    again = maud.post(at, maud.fill(at, asked="payee.question.what_do_you_know"))
    assert again.status_code == 409
    assert "déjà demandé" in error(again.text)
