"""A key of one platform can learn nothing of another, on any address of the application.

Addresses are taken from the application itself, so that a new one cannot be forgotten here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import Engine

from disputes import evidence
from disputes.evidence_rows import StoredFile
from service import db
from service.app import create_app
from service.exchanges import chargebacks
from service.exchanges.codes import CodeBook
from service.exchanges.decide import Rules
from service.ids import decode, encode, uuid7
from service.messages import links, make
from service.operations import dead_letters
from service.payments import differences
from service.payments.matching import Found, Kind
from service.payments.port import Movement, Warned
from tests.disputes.people import People
from tests.http.client import Api, Server, problem

#: Open to everybody: they hold nothing of any platform, or what is asked for is its own key.
PUBLIC: Final = {
    "livez",
    "readyz",
    "jwks",
    "receive_stripe_event",
    "receive_stripe_payee_event",
    "list_mailbox",
    "read_mailbox",
    "sign_in_mediator",
    "refresh_mediator_session",
    "take_up_invitation",
    "list_precedents",
    "get_precedent",
    "get_dispute_statistics",
    "show_dispute_statistics",
}
#: The operator's own.
OPERATOR: Final = {
    "create_platform",
    "list_platforms",
    "get_platform",
    "list_all_dead_letters",
    "retry_any_dead_letter",
    "list_outages",
    "record_outage",
    "metrics",
    "create_mediator",
    "list_mediators",
    "get_mediator",
    "end_mediator",
    "reset_mediator",
    "change_mediator",
    "create_pool",
    "list_pools",
    "get_pool",
    "add_pool_mediator",
    "remove_pool_mediator",
    "add_pool_platform",
    "remove_pool_platform",
    "list_mediator_ties",
    "create_mediator_tie",
    "end_mediator_tie",
    "list_case_assignments",
}
#: A mediator's own, by the token of their session: no key of a platform opens them.
MEDIATOR: Final = {
    "get_own_mediator",
    "get_own_profile",
    "change_own_profile",
    "get_own_statistics",
    "list_own_interests",
    "declare_interest",
    "end_own_interest",
    "list_redecisions",
    "get_redecision",
    "decide_again",
    "give_strike",
    "list_strikes",
    "lift_strike",
    "list_evidence_of_own_case",
    "get_evidence_file_of_own_case",
    "ask_for_evidence",
    "sign_out_mediator",
    "change_mediator_password",
    "list_case_queue",
    "list_short_reviews",
    "claim_next_case",
    "get_desk_case",
    "calculate_effect",
    "propose_to_both",
    "decide_case",
    "vote_on_appeal",
    "agree_with_decision",
    "send_decision_back",
    "lift_flag",
    "decline_case",
    "decide_short_reviews",
    "get_decision_of_own_case",
    "export_own_case",
    "publish_precedent",
    "withdraw_precedent",
    "list_decision_templates",
    "add_decision_template",
    "retire_decision_template",
}
#: What is named in the address is no id of somebody's: an account's path, a unit's code.
OWN_NAMES: Final = {"get_statement", "get_unit"}

_SALE: Final = {
    "kind": "sale",
    "title": "A bicycle",
    "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
}
_DECISION: Final = {"outcome": "to_payer", "reason_code": "facts", "reasons": "x" * 100}
#: A body that passes every check of form, for each operation that takes one.
BODIES: Final[dict[str, Callable[[str], Any]]] = {
    "calculate_effect": lambda _m: {"outcome": "to_payer"},
    "propose_to_both": lambda _m: {"outcome": "to_payer", "text": "x"},
    "decide_case": lambda _m: _DECISION,
    "vote_on_appeal": lambda _m: _DECISION,
    "send_decision_back": lambda _m: {"reason": "x"},
    "lift_flag": lambda _m: {"reason_code": "facts", "reasons": "x" * 100},
    "decline_case": lambda _m: {"reason": "x"},
    "decide_short_reviews": lambda _m: {
        "decisions": [{"case": "cs_0001j5x7v4e9tsmwd8w1c9xk5v", **_DECISION}]
    },
    "create_platform": lambda _m: {"name": "Another"},
    "record_outage": lambda _m: {
        "kind": "mail",
        "began_at": "2020-01-01T09:00:00Z",
        "ended_at": "2020-01-01T10:00:00Z",
        "reason": "x",
    },
    "create_mediator": lambda _m: {
        "name": "Maud",
        "email": "maud@example.org",
        "languages": ["fr"],
    },
    "change_mediator": lambda _m: {"name": "x"},
    "change_own_profile": lambda _m: {"languages": ["br"]},
    "declare_interest": lambda _m: {"platform": encode("platform", uuid7())},
    "decide_again": lambda _m: {"outcome": "to_payer", "reasons": "x" * 100},
    "give_strike": lambda _m: {"reason": "extortion"},
    "create_pool": lambda _m: {"name": "x"},
    "create_mediator_tie": lambda _m: {"kind": "staff"},
    "create_own_mediator_tie": lambda m: {
        "mediator": encode("mediator", uuid7()),
        "kind": "helper",
        "member": m,
    },
    "change_mediator_password": lambda _m: {
        "current_password": "x",
        "password": "quatre mouettes sur le quai",
    },
    "publish_precedent": lambda _m: {
        "case": encode("case", uuid7()),
        "language": "fr",
        "asked": "x",
        "text": "x",
    },
    "withdraw_precedent": lambda _m: {"reason": "x"},
    "add_decision_template": lambda _m: {
        "language": "fr",
        "outcome": "split",
        "title": "x",
        "text": "x",
    },
    "create_api_key": lambda _m: {"label": "x", "scopes": ["members:read"]},
    "rotate_api_key": lambda _m: {"overlap_hours": 1},
    "create_member": lambda _m: {"external_id": "new"},
    "change_member": lambda _m: {"locale": "br"},
    "create_member_token": lambda _m: {"ttl_seconds": 60},
    "pause_member": lambda _m: {"until": (datetime.now(UTC) + timedelta(days=3)).isoformat()},
    "name_helper": lambda _m: {
        "name": "Yann",
        "email": "yann@example.org",
        "may": ["confirm"],
        "ends_at": (datetime.now(UTC) + timedelta(days=3)).isoformat(),
        "consent": "said so in person",
    },
    "set_credit_limit": lambda _m: {"limit": 5},
    "create_payout": lambda _m: {"amount": {"amount": 1, "unit": "EUR"}},
    "open_payout_account": lambda _m: {"country": "FR"},
    "create_payout_account_link": lambda _m: {
        "return_url": "https://example.org/back",
        "refresh_url": "https://example.org/again",
    },
    "act_on_sandbox_payout_account": lambda _m: {"outcome": "complete"},
    "send_to_sandbox_bank": lambda _m: {
        "amount": {"amount": 1, "unit": "EUR"},
        "outcome": "paid",
    },
    "define_unit": lambda _m: {"code": "HOURS", "name": "Hours"},
    "propose_exchange": lambda m: {**_SALE, "payer": m, "payee": m},
    "propose_exchanges": lambda m: {"exchanges": [{**_SALE, "payer": m, "payee": m}]},
    "quote_exchange": lambda _m: _SALE,
    "change_message_preferences": lambda _m: {"news": "none"},
    "connect_stripe": lambda _m: {"secret_key": "sk_test_0123456789"},
    "rotate_stripe_webhook_secret": lambda _m: {
        "endpoint": "platform",
        "secret": "whsec_0123456789",
    },
    "advance_sandbox_clock": lambda _m: {"by": "PT1S"},
    "create_sandbox_script": lambda m: {"member": m, "script": "stays_silent"},
    "act_on_sandbox_payment": lambda _m: {"outcome": "succeed"},
    "give_back": lambda _m: {
        "amount": 1,
        "borne_by": "platform",
        "reason_code": "error",
        "reason": "x",
    },
    "ask_for_evidence": lambda _m: {"side": "payee", "sort": "photo"},
    "add_evidence": lambda _m: {"sort": "text", "text": "x"},
    "add_to_evidence": lambda _m: {"own_words": "x"},
    "lift_warning": lambda _m: {"reason": "x"},
    "write_off": lambda _m: {"reason": "x"},
    "contest_sandbox_payment": lambda _m: {"kind": "dispute"},
    "resolve_difference": lambda _m: {"resolution": "platform_bears", "reason": "x"},
    "create_webhook_endpoint": lambda _m: {"url": "https://93.184.215.14/tierce"},
    "change_webhook_endpoint": lambda _m: {"description": "x"},
    "rotate_webhook_secret": lambda _m: {"overlap_hours": 1},
    "replay_events": lambda _m: {"since": "2027-03-01T09:00:00Z"},
    "decide_sandbox_chargeback": lambda _m: {"outcome": "won"},
    "agree": lambda m: {"member": m, "terms_hash": "0" * 64},
    "counter_offer": lambda m: {"member": m, "terms": _SALE},
    "confirm": lambda m: {"member": m, "checkpoint": "handover"},
    "withdraw_confirmation": lambda m: {"member": m, "checkpoint": "handover"},
    "enter_code": lambda m: {"member": m, "checkpoint": "handover", "code": "123456"},
    "propose_settlement": lambda m: {"member": m, "legs": [{"to_payee": 1}]},
    "accept_proposal": lambda m: {"member": m, "proposal": encode("proposal", uuid7())},
    "reject_proposal": lambda m: {"member": m, "proposal": encode("proposal", uuid7())},
    "withdraw_proposal": lambda m: {"member": m, "proposal": encode("proposal", uuid7())},
    "claim": lambda m: {"member": m, "reason": "damaged"},
    "make_offer": lambda m: {"member": m, "outcome": "to_payer"},
    "withdraw_offer": lambda m: {"member": m, "offer": encode("offer", uuid7())},
    "reject_offer": lambda m: {"member": m, "offer": encode("offer", uuid7())},
    "accept_offer": lambda m: {"member": m, "offer": encode("offer", uuid7())},
    "accept_case_proposal": lambda m: {"member": m, "proposal": encode("proposal", uuid7())},
    "reject_case_proposal": lambda m: {"member": m, "proposal": encode("proposal", uuid7())},
    "appeal": lambda m: {"member": m, "ground": "new_evidence", "text": "x"},
    "flag": lambda _m: {"text": "x"},
}
_NAMED: Final = (
    "member",
    "exchange",
    "case",
    "evidence",
    "precedent",
    "template",
    "payment",
    "event",
    "chargeback",
    "difference",
    "pause",
    "helper",
    "dead_letter",
    "webhook_endpoint",
    "message",
    "link",
    "script",
    "tie",
)
#: What an address needs beside its path.
QUERIES: Final = {
    "get_member_statement": {"unit": "EUR"},
    "get_statement": {"unit": "EUR"},
    "add_evidence_file": {"sort": "photo"},
    "list_postings": {"reference": "exchange:none"},
}


def _operations(app: FastAPI) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each operation's id, method, path, and whether it takes a body.

    Not those of pages, which people enter otherwise: tests/web shows who is let in there.
    """
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, APIRoute) and not route.endpoint.__module__.startswith("service.web."):
            assert context.methods
            assert context.path
            for method in context.methods:
                operation = route.operation_id
                assert operation, f"{method} {context.path} has no operation_id"
                yield operation, method, context.path, route.body_field is not None


def _table() -> list[tuple[str, str, str, bool]]:
    return sorted(_operations(create_app()))


def _send(api: Api, operation: str, method: str, path: str, takes_body: bool, member: str) -> Any:
    if takes_body:
        # A step that is not in the list above takes nothing but the member.
        made = BODIES.get(operation)
        body = {"member": member} if made is None else made(member)
        return api.send(method, path, body, params=QUERIES.get(operation))
    return api.send(method, path, params=QUERIES.get(operation))


@pytest.fixture
def rich(api: Api, engine: Engine, platform_id: UUID) -> dict[str, str]:
    """Return an id of everything that a platform can have, by the name that addresses give it."""
    payer, payee = api.member()["id"], api.member()["id"]
    exchange = api.made(
        "/v1/exchanges", {**_SALE, "payer": payer, "payee": payee, "both_agreed": True}
    )
    funded = api.made(f"/v1/exchanges/{exchange['id']}/fund", {"member": payer})
    return {
        "member": payer,
        "exchange": exchange["id"],
        **_brought(engine, platform_id),
        "payment": funded["payment"],
        "chargeback": _warned(api, engine, platform_id, funded["payment"]),
        "difference": _differing(api, engine, platform_id),
        "pause": api.made(f"/v1/members/{payer}/pauses", BODIES["pause_member"](payer))["id"],
        "helper": api.made(f"/v1/members/{payer}/helpers", BODIES["name_helper"](payer))["id"],
        "dead_letter": _given_up(engine, platform_id, funded["payment"]),
        "webhook_endpoint": api.made(
            "/v1/webhook-endpoints", BODIES["create_webhook_endpoint"](payer)
        )["id"],
        **_told(api, engine, platform_id, payer, exchange["id"]),
        "event": api.events(1)[0]["id"],
        "script": api.made("/v1/sandbox/scripts", BODIES["create_sandbox_script"](payer))["id"],
        "api_key": api.read("/v1/api-keys")["data"][0]["id"],
        "tie": _tied(api, engine, platform_id),
        "unit": "EUR",
        "account": f"member:{payer}",
    }


def _brought(engine: Engine, platform_id: UUID) -> dict[str, str]:
    """Open a case and bring a photograph to it; return the ids of both."""
    case = People(engine, platform_id).opened()
    photo = StoredFile("a" * 64, "b" * 64, "image/jpeg", 1)
    new = evidence.New(uuid7(), case.id, "photo", None, "platform", file=photo)
    with db.transaction(engine, platform_id) as connection:
        made = evidence.add(connection, platform_id, new, datetime.now(UTC))
    return {"case": encode("case", case.id), "evidence": encode("evidence", made.id)}


def _tied(api: Api, engine: Engine, platform_id: UUID) -> str:
    """Say that a mediator is of the platform's staff; return the tie's id."""
    somebody = encode("mediator", People(engine, platform_id).join())
    tie = api.made("/v1/mediator-ties", {"mediator": somebody, "kind": "staff"})
    return str(tie["id"])


def _given_up(engine: Engine, platform_id: UUID, payment: str) -> str:
    """Give a payment up; return the dead letter's id."""
    with db.transaction(engine, platform_id) as connection:
        made = dead_letters.record(
            connection, platform_id, "payment", {"payment": payment}, "x", datetime.now(UTC), 5
        )
    return encode("dead_letter", made)


def _told(
    api: Api, engine: Engine, platform_id: UUID, member: str, exchange: str
) -> dict[str, str]:
    """Tell a member of what happened, and give them a link; return the ids of both."""
    now = datetime.now(UTC)
    with db.transaction(engine, platform_id) as connection:
        ids = decode("member", member), decode("exchange", exchange)
        links.make(connection, platform_id, *ids, "reminder", now, public_url="http://tierce.test")
    api.events(1)  # there is something to tell, and no transaction that keeps it back
    while make.make(engine, now):
        pass
    return {
        "message": api.read("/v1/messages")["data"][0]["id"],
        "link": api.read(f"/v1/members/{member}/links")["data"][0]["id"],
    }


def _warned(api: Api, engine: Engine, platform_id: UUID, payment: str) -> str:
    """Let a bank warn of the payment; return the chargeback's id."""
    ref = api.read(f"/v1/payments/{payment}")["provider_ref"]
    warned = Warned("sb_warning_1", ref, "fraudulent", actionable=True)
    rules = Rules(datetime.now(UTC), CodeBook("the secret of a test instance, long enough"))
    with db.transaction(engine, platform_id) as connection:
        chargebacks.record_warning(connection, platform_id, "sandbox", warned, rules)
    return str(api.read("/v1/chargebacks")["data"][0]["id"])


def _differing(api: Api, engine: Engine, platform_id: UUID) -> str:
    """Let the provider's books have what ours have not; return the difference's id."""
    line = Movement("txn_1", "other", None, 500, 0, "EUR", datetime.now(UTC))
    found = Found(Kind.THEIRS_ONLY, line.ref, 0, line.amount, line.unit, line)
    with db.transaction(engine, platform_id) as connection:
        now = datetime.now(UTC)
        differences.record(connection, platform_id, "sandbox", [found], now.date(), now)
    return str(api.read("/v1/reconciliation/differences")["data"][0]["id"])


def test_a_foreign_id_is_told_exactly_as_an_unknown_one_on_every_address(
    server: Server, api: Api, neighbour: Api, rich: dict[str, str]
) -> None:
    before = api.read(f"/v1/exchanges/{rich['exchange']}")
    member = neighbour.member()["id"]
    unknown = {
        name: value if name in {"unit", "account"} else encode(name, uuid7())
        for name, value in rich.items()
    }
    tried = 0
    for operation, method, path, takes_body in _operations(server.app):
        if "{" not in path or operation in PUBLIC | OPERATOR | MEDIATOR | OWN_NAMES:
            continue
        told = [
            _send(neighbour, operation, method, path.format(**ids), takes_body, member)
            for ids in (rich, unknown)
        ]
        if operation == "get_hand_over_code":
            assert {answer.status_code for answer in told} == {403}  # no platform sees a code
        else:
            assert [answer.status_code for answer in told] == [404, 404], (operation, told[0].text)
        bodies = [answer.json() for answer in told]
        for body in bodies:
            body.pop("request_id")
        assert bodies[0] == bodies[1], operation
        tried += 1
    assert tried >= 20
    assert api.read(f"/v1/exchanges/{rich['exchange']}") == before


def test_lists_hold_nothing_of_a_neighbour(
    server: Server, neighbour: Api, rich: dict[str, str]
) -> None:
    for operation, method, path, _body in _operations(server.app):
        if method != "GET" or "{" in path or operation in PUBLIC | OPERATOR | MEDIATOR:
            continue
        answer = neighbour.send(method, path, params=QUERIES.get(operation))
        assert answer.status_code == 200, (operation, answer.text)
        for name, value in rich.items():
            assert name in {"unit"} or value not in answer.text, (operation, name)


@pytest.mark.parametrize("filter_", ["member", "exchange"])
def test_filters_by_a_foreign_id_find_nothing(
    neighbour: Api, rich: dict[str, str], filter_: str
) -> None:
    assert neighbour.read("/v1/events", **{filter_: rich[filter_]})["data"] == []
    assert neighbour.read("/v1/exchanges", member=rich["member"])["data"] == []


def test_foreign_members_cannot_be_parties_and_are_told_as_unknown_ones(
    neighbour: Api, rich: dict[str, str]
) -> None:
    own = neighbour.member()["id"]
    told = []
    for payer in (rich["member"], encode("member", uuid7())):
        body = problem(
            neighbour.post("/v1/exchanges", {**_SALE, "payer": payer, "payee": own}),
            422,
            "unknown_member",
        )
        body.pop("request_id")
        told.append(body)
    assert told[0] == told[1]


def test_a_foreign_cursor_shows_nothing_foreign(
    neighbour: Api, api: Api, rich: dict[str, str]
) -> None:
    cursor = api.read("/v1/members", limit=1)["next_cursor"]
    assert neighbour.read("/v1/members", cursor=cursor)["data"] == []


@pytest.mark.parametrize(
    ("operation", "method", "path", "takes_body"),
    [line for line in _table() if line[0] not in PUBLIC],
    ids=lambda value: value if isinstance(value, str) and "/" not in value else "",
)
def test_no_address_opens_without_a_credential_or_with_a_wrong_one(
    anonymous: Api, server: Server, operation: str, method: str, path: str, takes_body: bool
) -> None:
    ids = {name: encode(name, uuid7()) for name in _NAMED}
    others = ("api_key", "platform", "mediator", "pool", "redecision", "strike")
    ids |= {name: encode(name, uuid7()) for name in others}
    address = path.format(**ids, unit="EUR", account="platform:fees")
    for caller in (anonymous, Api(server, "tk_sandbox_nobody"), Api(server, "a.b.c")):
        answer = _send(caller, operation, method, address, takes_body, ids["member"])
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] in {"not_signed_in", "invalid_token"}


@pytest.mark.parametrize(
    ("operation", "method", "path", "takes_body"),
    [line for line in _table() if line[0] not in PUBLIC | OPERATOR | MEDIATOR],
    ids=lambda value: value if isinstance(value, str) and "/" not in value else "",
)
def test_no_address_opens_to_a_key_without_its_scope(
    new_api: Callable[..., Api], operation: str, method: str, path: str, takes_body: bool
) -> None:
    # Of the closed list, one scope that no address but one asks for.
    caller = new_api("events:read" if not path.startswith("/v1/events") else "members:read")
    ids = {name: encode(name, uuid7()) for name in _NAMED}
    ids |= {"api_key": encode("api_key", uuid7())}
    address = path.format(**ids, unit="EUR", account="platform:fees")
    answer = _send(caller, operation, method, address, takes_body, ids["member"])
    assert answer.status_code == 403, answer.text


def test_the_operator_s_addresses_are_closed_to_platforms_and_theirs_to_the_operator(
    api: Api, operator: Api
) -> None:
    assert api.get("/v1/platforms").status_code in {401, 403}
    assert api.post("/v1/platforms", {"name": "Another"}).status_code in {401, 403}
    assert operator.get("/v1/members").status_code in {401, 403}
