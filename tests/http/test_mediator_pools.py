"""What the operator says of mediators: profiles, pools, ties, and the record of each draw."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from service.ids import encode, uuid7
from tests.http.claimed import PRESSURED, claim
from tests.http.client import Api, problem
from tests.http.deal import Deal
from tests.http.desk import do, invite

POOLS = "/v1/operator/pools"


def pool_for(operator: Api, platform: str, *mediators: str) -> str:
    """Make a pool that serves a platform, with mediators in it; return its path."""
    path = f"{POOLS}/{operator.made(POOLS, {'name': f'Pool {uuid7()}'})['id']}"
    assert operator.send("PUT", f"{path}/platforms/{platform}").status_code == 200
    for one in mediators:
        assert operator.send("PUT", f"{path}/mediators/{one}").status_code == 200
    return path


@pytest.fixture
def platform(paid: Deal) -> str:
    return encode("platform", paid.platform_id)


def draws(operator: Api, paid: Deal) -> list[dict[str, Any]]:
    """Open a case on the deal and return how its mediator was found."""
    case = encode("case", claim(paid, PRESSURED).case_id)
    found: list[dict[str, Any]] = operator.read(f"/v1/operator/cases/{case}/assignments")["data"]
    return found


def why_not(operator: Api, paid: Deal, mediator: str) -> list[str]:
    """Open a case that somebody else can take, and return why ``mediator`` could not."""
    (drawn,) = draws(operator, paid)
    reasons = {one["mediator"]: one["reasons"] for one in drawn["excluded"]}
    found: list[str] = reasons[mediator]
    return found


def test_a_profile_changes_in_what_is_sent_and_in_nothing_else(operator: Api) -> None:
    made = invite(operator, skills=["bicycles"], caseload_cap=3)
    path = f"/v1/operator/mediators/{made['id']}"
    sent = {
        "name": "Maud Kerdoncuff",
        "languages": ["br"],
        "roles": ["supervisor", "mediator"],
        "caseload_cap": 7,
        "away_until": "2027-03-01T09:00:00Z",
    }
    changed = operator.send("PATCH", path, sent).json()
    del made["invitation"]
    assert changed == made | sent | {
        "roles": ["mediator", "supervisor"],
        "away_until": changed["away_until"],
    }
    assert changed["away_until"].startswith("2027-03-01T09:00:00")
    back = operator.send("PATCH", path, {"away_until": None}).json()
    assert back == changed | {"away_until": None} == operator.read(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": None},
        {"languages": []},
        {"languages": ["French"]},
        {"roles": []},
        {"roles": ["judge"]},
        {"skills": ["Bicycles!"]},
        {"caseload_cap": -1},
        {"caseload_cap": 1001},
        {"caseload_cap": "3"},
        {"away_until": "tomorrow"},
        {"email": "other@example.org"},
    ],
)
def test_a_profile_that_cannot_be_is_refused_and_changes_nothing(
    operator: Api, wrong: dict[str, Any]
) -> None:
    made = invite(operator)
    path = f"/v1/operator/mediators/{made['id']}"
    before = operator.read(path)
    problem(operator.send("PATCH", path, {"skills": ["x"]} | wrong), 422, "invalid_request")
    assert operator.read(path) == before


def test_whoever_has_ended_or_is_not_there_is_not_changed(operator: Api) -> None:
    made = invite(operator)
    operator.made(f"/v1/operator/mediators/{made['id']}/end")
    answer = operator.send("PATCH", f"/v1/operator/mediators/{made['id']}", {"name": "x"})
    problem(answer, 409, "mediator_ended")
    nobody = f"/v1/operator/mediators/{encode('mediator', uuid7())}"
    problem(operator.send("PATCH", nobody, {"name": "x"}), 404, "mediator_not_found")


def test_a_pool_has_its_members_and_platforms_and_is_put_and_emptied_again(
    operator: Api, platform: str
) -> None:
    one, other = sorted(invite(operator)["id"] for _ in range(2))
    path = pool_for(operator, platform, one, other, one)
    shown = operator.read(path)
    assert (shown["mediators"], shown["platforms"]) == ([one, other], [platform])
    for _ in range(2):  # the second time changes nothing
        left = operator.send("DELETE", f"{path}/mediators/{one}").json()
        assert left == shown | {"mediators": [other]}
    for _ in range(2):
        left = operator.send("DELETE", f"{path}/platforms/{platform}").json()
        assert left == shown | {"mediators": [other], "platforms": []}
    listed, cursor = [], None
    while True:
        more: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
        body = operator.read(POOLS, limit=2, **more)
        listed += body["data"]
        if (cursor := body["next_cursor"]) is None:
            break
    assert left in listed
    assert len({one["id"] for one in listed}) == len(listed)


def test_pools_name_what_there_is_and_have_names_of_their_own(operator: Api, platform: str) -> None:
    path = pool_for(operator, platform)
    before = operator.read(path)
    taken = operator.post(POOLS, {"name": before["name"]})
    assert problem(taken, 422, "mediator_invalid")["pointer"] == "/name"
    problem(operator.post(POOLS, {"name": ""}), 422, "invalid_request")
    nobody, nowhere = encode("mediator", uuid7()), encode("platform", uuid7())
    put = operator.send("PUT", f"{path}/mediators/{nobody}")
    problem(put, 404, "mediator_not_found")
    put = operator.send("PUT", f"{path}/platforms/{nowhere}")
    problem(put, 404, "platform_not_found")
    no_pool = f"{POOLS}/{encode('pool', uuid7())}"
    problem(operator.get(no_pool), 404, "pool_not_found")
    for method, what in (("PUT", platform), ("DELETE", platform)):
        problem(operator.send(method, f"{no_pool}/platforms/{what}"), 404, "pool_not_found")
    assert operator.read(path) == before


def test_each_draw_is_shown_with_all_that_it_takes_to_draw_again(
    operator: Api, paid: Deal, platform: str
) -> None:
    able = sorted(invite(operator)["id"] for _ in range(3))
    away = invite(operator)["id"]
    operator.send("PATCH", f"/v1/operator/mediators/{away}", {"away_until": "2199-01-01T00:00:00Z"})
    pool_for(operator, platform, *able, away)
    (drawn,) = draws(operator, paid)
    assert (drawn["part"], drawn["how"], drawn["reproduced"]) == ("mediator", "draw", True)
    assert sorted(drawn["eligible"]) == able
    assert drawn["excluded"] == [{"mediator": away, "reasons": ["away"]}]
    assert len(bytes.fromhex(drawn["seed"])) >= 16
    (given,) = drawn["given_to"]
    assert given["mediator"] in able
    assert given["ended_at"] is None


def test_a_record_that_somebody_bent_is_told_not_to_reproduce(
    operator: Api, paid: Deal, platform: str, engine: Engine
) -> None:
    able = [invite(operator)["id"] for _ in range(2)]
    pool_for(operator, platform, *able)
    found = claim(paid, PRESSURED)
    path = f"/v1/operator/cases/{encode('case', found.case_id)}/assignments"
    (drawn,) = operator.read(path)["data"]
    assert drawn["reproduced"]
    # The row stands; a second one claims to be of the same draw, with the one who was not drawn.
    added = do(
        engine,
        "INSERT INTO disputes.assignment (platform_id, case_id, mediator_id, part, how, seed, "
        "eligible, excluded, at) SELECT platform_id, case_id, (SELECT one FROM unnest(eligible) "
        "AS one WHERE one <> mediator_id), 'panel', how, seed, eligible, excluded, at "
        "FROM disputes.assignment WHERE case_id = :case_id",
        case_id=found.case_id,
    )
    assert added == 1
    assert [one["reproduced"] for one in operator.read(path)["data"]] == [True, False]


def test_a_case_that_nobody_could_be_given_has_no_draw_and_an_unknown_one_is_not_found(
    operator: Api, paid: Deal
) -> None:
    assert draws(operator, paid) == []
    nothing = f"/v1/operator/cases/{encode('case', uuid7())}/assignments"
    problem(operator.get(nothing), 404, "case_not_found")


@pytest.mark.parametrize(
    ("kind", "code", "on_member"),
    [
        ("staff", "platform_staff", False),
        ("household", "household", True),
        ("helper", "helper", True),
        ("interest", "interest", True),
        ("interest", "interest", False),
    ],
)
def test_a_tie_keeps_its_mediator_off_until_it_ends(
    operator: Api, paid: Deal, platform: str, kind: str, code: str, on_member: bool
) -> None:
    tied, free = invite(operator)["id"], invite(operator)["id"]
    pool_for(operator, platform, tied, free)
    path = f"/v1/operator/mediators/{tied}/ties"
    body = {"kind": kind, "platform": platform, "note": "They told us."}
    if on_member:
        body["member"] = paid.payee["id"]
    made = operator.made(path, body)
    assert (made["declared_by"], made["member"]) == ("operator", body.get("member"))
    assert operator.read(path)["data"] == [made]
    assert why_not(operator, paid, tied) == [code]
    ended = operator.made(f"{path}/{made['id']}/end")
    assert ended["ended_at"] is not None
    assert operator.made(f"{path}/{made['id']}/end") == ended
    assert operator.read(path)["data"] == [ended], "it stays on record"


def test_a_tie_that_ended_keeps_nobody_off(operator: Api, paid: Deal, platform: str) -> None:
    tied = invite(operator)["id"]
    pool_for(operator, platform, tied)
    path = f"/v1/operator/mediators/{tied}/ties"
    made = operator.made(path, {"kind": "staff", "platform": platform})
    operator.made(f"{path}/{made['id']}/end")
    (drawn,) = draws(operator, paid)
    assert drawn["eligible"] == [tied]


def test_an_instrument_is_kept_as_its_hash_alone(operator: Api) -> None:
    path = f"/v1/operator/mediators/{invite(operator)['id']}/ties"
    made = operator.made(path, {"kind": "instrument", "instrument": "card_fingerprint_1"})
    assert len(bytes.fromhex(made["instrument_sha256"])) == 32
    assert "card_fingerprint_1" not in str(operator.read(path))


def test_a_tie_with_nothing_that_there_is_or_that_does_not_fit_is_refused(
    operator: Api, paid: Deal, platform: str
) -> None:
    path = f"/v1/operator/mediators/{invite(operator)['id']}/ties"
    stranger = encode("member", uuid7())
    for body, status, code in (
        ({"kind": "staff"}, 422, "mediator_invalid"),
        (
            {"kind": "staff", "platform": platform, "member": paid.payer["id"]},
            422,
            "mediator_invalid",
        ),
        ({"kind": "household", "platform": platform}, 422, "mediator_invalid"),
        ({"kind": "instrument", "platform": platform}, 422, "mediator_invalid"),
        ({"kind": "friend", "platform": platform}, 422, "invalid_request"),
        ({"kind": "staff", "platform": encode("platform", uuid7())}, 404, "platform_not_found"),
        ({"kind": "helper", "platform": platform, "member": stranger}, 404, "member_not_found"),
    ):
        problem(operator.post(path, body), status, code)
    assert operator.read(path)["data"] == []
    nobody = f"/v1/operator/mediators/{encode('mediator', uuid7())}/ties"
    problem(operator.get(nobody), 404, "mediator_not_found")
    staff = {"kind": "staff", "platform": platform}
    problem(operator.post(nobody, staff), 404, "mediator_not_found")
    made = operator.made(path, staff)
    another = f"/v1/operator/mediators/{invite(operator)['id']}/ties/{made['id']}/end"
    problem(operator.post(another), 404, "tie_not_found")
    assert operator.read(path)["data"] == [made]


def test_a_pool_that_serves_no_more_gives_nobody(operator: Api, paid: Deal, platform: str) -> None:
    path = pool_for(operator, platform, invite(operator)["id"])
    operator.send("DELETE", f"{path}/platforms/{platform}")
    assert draws(operator, paid) == []
