"""What a platform says of the neutrals who serve it, and what it learns of them: its own words."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from service.ids import encode, uuid7
from tests.disputes.people import People
from tests.http.claimed import PRESSURED, claim
from tests.http.client import Api, problem
from tests.http.deal import Deal

TIES = "/v1/mediator-ties"


@pytest.fixture
def people(paid: Deal, engine: Engine) -> People:
    return People(engine, paid.platform_id)


@pytest.fixture
def mediator(people: People) -> str:
    return encode("mediator", people.join())


def reasons(operator: Api, paid: Deal) -> dict[str, list[str]]:
    """Open a case, and return who could not be given it, and why."""
    case = encode("case", claim(paid, PRESSURED).case_id)
    (drawn,) = operator.read(f"/v1/operator/cases/{case}/assignments")["data"]
    return {one["mediator"]: one["reasons"] for one in drawn["excluded"]}


def test_a_platform_reads_the_names_of_those_who_may_be_drawn_for_it_and_of_nobody_else(
    paid: Deal, people: People, neighbour: Api
) -> None:
    ids = sorted(encode("mediator", people.join(name=f"Neutral {n}")) for n in range(3))
    first = paid.api.read("/v1/mediators", limit=2)
    rest = paid.api.read("/v1/mediators", limit=2, cursor=first["next_cursor"])
    shown = first["data"] + rest["data"]
    assert [one["id"] for one in shown] == ids
    assert {one["name"] for one in shown} == {"Neutral 0", "Neutral 1", "Neutral 2"}
    assert all(set(one) == {"id", "object", "name"} for one in shown)
    assert rest["next_cursor"] is None
    assert neighbour.read("/v1/mediators")["data"] == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [("staff", "platform_staff"), ("household", "household"), ("helper", "helper")],
)
def test_what_a_platform_says_keeps_a_mediator_off(
    paid: Deal, people: People, mediator: str, operator: Api, kind: str, code: str
) -> None:
    people.join()
    body = {"mediator": mediator, "kind": kind, "note": "Seen at the office."}
    if kind != "staff":
        body["member"] = paid.payer["id"]
    made = paid.api.made(TIES, body)
    assert (made["declared_by"], made["platform"]) == (
        "platform",
        encode("platform", paid.platform_id),
    )
    assert paid.api.read(TIES)["data"] == [made] == [paid.api.read(f"{TIES}/{made['id']}")]
    assert reasons(operator, paid) == {mediator: [code]}


def test_a_tie_that_the_platform_ended_keeps_nobody_off_and_stays_on_record(
    paid: Deal, mediator: str, operator: Api
) -> None:
    made = paid.api.made(TIES, {"mediator": mediator, "kind": "staff"})
    ended = paid.api.made(f"{TIES}/{made['id']}/end")
    assert ended["ended_at"] is not None
    assert paid.api.made(f"{TIES}/{made['id']}/end") == ended
    assert paid.api.read(TIES)["data"] == [ended]
    assert reasons(operator, paid) == {}


def test_a_platform_neither_sees_nor_ends_what_others_have_told(
    paid: Deal, mediator: str, operator: Api, neighbour: Api
) -> None:
    path = f"/v1/operator/mediators/{mediator}/ties"
    platform = encode("platform", paid.platform_id)
    operators = operator.made(path, {"kind": "staff", "platform": platform})
    own = paid.api.made(TIES, {"mediator": mediator, "kind": "staff"})
    assert paid.api.read(TIES)["data"] == [own]
    problem(paid.api.get(f"{TIES}/{operators['id']}"), 404, "tie_not_found")
    problem(paid.api.post(f"{TIES}/{operators['id']}/end"), 404, "tie_not_found")
    assert neighbour.read(TIES)["data"] == []
    problem(neighbour.post(f"{TIES}/{own['id']}/end"), 404, "tie_not_found")
    told = operator.read(path)["data"]
    assert told == [operators, own], "the operator sees both, and nothing has changed"
    ended = operator.made(f"{path}/{own['id']}/end")
    assert paid.api.read(f"{TIES}/{own['id']}") == ended


def test_a_tie_with_nobody_or_that_does_not_fit_is_refused(
    paid: Deal, mediator: str, neighbour: Api
) -> None:
    foreign = neighbour.member()["id"]
    for body, status, code in (
        ({"mediator": encode("mediator", uuid7()), "kind": "staff"}, 404, "mediator_not_found"),
        ({"mediator": mediator, "kind": "helper"}, 422, "mediator_invalid"),
        (
            {"mediator": mediator, "kind": "staff", "member": paid.payer["id"]},
            422,
            "mediator_invalid",
        ),
        ({"mediator": mediator, "kind": "household", "member": foreign}, 404, "member_not_found"),
        ({"mediator": mediator, "kind": "interest"}, 422, "invalid_request"),
    ):
        problem(paid.api.post(TIES, body), status, code)
    assert paid.api.read(TIES)["data"] == []


def test_a_member_says_nothing_of_mediators(paid: Deal, mediator: str) -> None:
    member = paid.api.acting(paid.payer["id"])
    problem(member.get("/v1/mediators"), 401, "not_signed_in")
    problem(member.post(TIES, {"mediator": mediator, "kind": "staff"}), 401, "not_signed_in")
