"""The pages of a case: read, proposed in, decided, read by a second person."""

from __future__ import annotations

from collections.abc import Callable

from service.ids import encode
from tests.http.claimed import Claimed
from tests.web.desk.browser import error, text_of
from tests.web.desk.conftest import Join

WHY = "The message shows the threat, and the other side does not deny having written it. " * 2


def path(found: Claimed) -> str:
    return f"/desk/cases/{encode('case', found.case_id)}"


def leg(found: Claimed) -> str:
    (line,) = found.case().lines
    return f"part.{encode('leg', line.id)}"


def test_a_mediator_reads_their_queue_and_their_case_without_names(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    queue = maud.read("/desk/queue")
    assert path(found) in queue
    assert "65,00" in text_of(queue)
    shown = text_of(maud.read(path(found)))
    assert "He threatened me." in shown
    assert "Un <b>vélo</b>" in shown
    for member in (found.deal.payer, found.deal.payee):
        assert member["id"] not in shown
        assert member["email"] not in shown
        assert member["name"] not in shown


def test_a_split_is_calculated_looked_over_and_decided(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    form_at = f"{path(found)}/do/decide"
    said = {"outcome": "split", leg(found): "40,50", "reason_code": "evidence", "text": WHY}
    tried = maud.post(form_at, maud.fill(form_at, calculate="1", **said))
    assert tried.status_code == 200, error(tried.text)
    assert "24,50 € + 40,50 € = 65,00 €" in text_of(tried.text).replace("\u202f", " ").replace(
        "\u00a0", " "
    )
    looked = maud.post(form_at, maud.fill(form_at, **said))
    assert looked.status_code == 200
    assert 'name="sure"' in looked.text
    assert found.case().ruling is None
    sure = maud.fill(form_at, sure="1", **said)
    done = maud.post(form_at, sure)
    assert (done.status_code, done.headers["location"]) == (303, "/desk/queue?done=decide")
    ruling = found.case().ruling
    assert ruling is not None
    assert list(ruling.to_payee.values()) == [4050]
    again = maud.post(form_at, sure)
    assert again.headers["location"] == done.headers["location"], "a second press does nothing"
    assert found.case().ruling == ruling
    assert "La décision est écrite." in text_of(maud.read(done.headers["location"]))
