"""A member's helper: what they may do, that it is marked as theirs, and where it ends."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import RowMapping, text
from sqlalchemy.exc import DatabaseError

from ledger.refusals import Refusal
from service import db
from service.exchanges import advance, helpers, helping, queries
from service.exchanges.commands import ClaimDraft, Command, Who
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.steps import MACHINES, STEPS
from service.ids import encode
from service.platforms import members
from service.platforms.helpers import MOST, Helper, May
from tests.counted import statements
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def contact(world: World, member_id: UUID, **changes: Any) -> None:
    """Say how a member can be reached."""
    with db.transaction(world.engine, world.platform_id) as connection:
        members.change(connection, world.platform_id, member_id, changes)


def name(world: World, member_id: UUID, *may: May, who: Who | None = None, **more: Any) -> Helper:
    """Let a member name Yann as their helper for a month."""
    settings = {"name": "Yann Le Goff", "email": "yann@example.org", "phone": None, **more}
    settings.setdefault("ends_at", world.now + timedelta(days=30))
    draft = helpers.Draft(may=may, **settings)
    with db.transaction(world.engine, world.platform_id) as connection:
        who = who or Who(member_id, "member")
        return helpers.name(connection, world.platform_id, who, draft, world.now)


def end(world: World, helper: Helper) -> Helper:
    with db.transaction(world.engine, world.platform_id) as connection:
        who = Who(helper.member_id, "member")
        return helpers.end(connection, world.platform_id, who, helper.id, world.now)


def act(world: World, exchange: Exchange, helper: Helper, step: str, **more: Any) -> Exchange:
    """Take a step as a helper; raise what refuses it."""
    who = Who(helper.member_id, helping.HELPER, helper.id)
    if step in {"confirm", "withdraw_confirmation", "enter_code"}:
        current = world.read(exchange).current
        assert current is not None
        more.setdefault("checkpoint", current.name)
    command = Command(exchange.id, step, who, **more)
    with db.transaction(world.engine, world.platform_id) as connection:
        (outcome,) = advance.advance(connection, world.platform_id, [command], world.rules)
    if isinstance(outcome, Refusal):
        raise outcome
    if outcome.refusal is not None:
        raise outcome.refusal
    return outcome.exchange


def told(world: World, exchange: Exchange) -> list[tuple[str, dict[str, Any]]]:
    with db.transaction(world.engine, world.platform_id) as connection:
        query = text(
            "SELECT type, data FROM service.event WHERE exchange_id = :id ORDER BY sequence"
        )
        return [(row.type, row.data) for row in connection.execute(query, {"id": exchange.id})]


def given(world: World, exchange: Exchange) -> list[RowMapping]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return list(queries.confirmations(connection, world.platform_id, exchange.id))


def test_what_a_helper_confirms_is_the_members_word_by_the_helpers_hand(world: World) -> None:
    exchange = world.funded(world.sale())
    helper = name(world, world.payee, May.CONFIRM)
    act(world, exchange, helper, "confirm")
    (word,) = given(world, exchange)
    assert (word["role"], word["member_id"], word["via"]) == (PAYEE, world.payee, "helper")
    assert word["helper_id"] == helper.id
    *_, (confirmed, facts), (assisted, more) = told(world, exchange)
    public = encode("helper", helper.id)
    assert confirmed == "exchange.confirmed"
    assert (facts["by"], facts["assisted"], facts["helper"]) == ("payee", "payee", public)
    assert assisted == "member.assisted"
    assert (more["step"], more["by"], more["via"]) == ("confirm", "payee", "helper")
    assert more["member"] == encode("member", world.payee)
    ended = world.step(exchange, "confirm", PAYER)
    assert ended.state is State.COMPLETED, "a helper's word counts as the member's"
    assert "helper" not in dict(told(world, exchange))["exchange.completed"]


def test_a_helper_takes_their_word_back_as_the_member_could_and_so_can_the_member(
    world: World,
) -> None:
    exchange = world.funded(world.sale())
    helper = name(world, world.payer, May.CONFIRM)
    act(world, exchange, helper, "confirm")
    act(world, exchange, helper, "withdraw_confirmation")
    act(world, exchange, helper, "confirm")
    world.step(exchange, "withdraw_confirmation", PAYER)
    said = [(word["word"], word["via"]) for word in given(world, exchange)]
    assert said == [
        ("confirmed", "helper"),
        ("withdrawn", "helper"),
        ("confirmed", "helper"),
        ("withdrawn", "member"),
    ]
    current = world.read(exchange).current
    assert current is not None
    assert current.payer_at is None


def test_steps_of_twenty_by_helpers_take_the_statements_of_one(world: World) -> None:
    other = name(world, world.payer, May.CONFIRM, email="anna@example.org")

    def confirm(count: int) -> Counter[str]:
        sales = [world.sale(10, "HOURS") for _ in range(count)]
        for one in sales:
            world.step(one, "fund", PAYER)
        named = [name(world, world.payee, May.CONFIRM, exchange_id=one.id) for one in sales[:5]]
        hands = [Who(world.payee, helping.HELPER, one.id) for one in named]
        hands += [Who(world.payer, helping.HELPER, other.id)] * (count - len(hands))
        commands = [
            Command(one.id, "confirm", who, checkpoint="handover")
            for one, who in zip(sales, hands, strict=True)
        ]
        with (
            statements(world.engine) as seen,
            db.transaction(world.engine, world.platform_id) as connection,
        ):
            outcomes = advance.advance(connection, world.platform_id, commands, world.rules)
        assert all(isinstance(one, advance.Done) for one in outcomes)
        for helper in named:
            end(world, helper)
        return seen

    assert confirm(20) == confirm(1)


def test_a_code_entered_by_a_helper_is_both_words_and_says_through_whom(world: World) -> None:
    exchange = world.funded(world.sale())
    helper = name(world, world.payee, May.CONFIRM)
    ended = act(world, exchange, helper, "enter_code", code=world.code(exchange))
    assert ended.state is State.COMPLETED
    assert {word["helper_id"] for word in given(world, exchange)} == {helper.id}
    marked = [facts for type_, facts in told(world, exchange) if type_ == "exchange.confirmed"]
    assert [(one["by"], one["assisted"]) for one in marked] == [
        ("payer", "payee"),
        ("payee", "payee"),
    ]


def test_a_wrong_code_of_a_helper_counts_like_anybodys(world: World) -> None:
    exchange = world.funded(world.sale())
    helper = name(world, world.payee, May.CONFIRM)
    wrong = f"{(int(world.code(exchange)) + 1) % 1_000_000:06d}"
    with pytest.raises(Refusal) as refused:
        act(world, exchange, helper, "enter_code", code=wrong)
    assert refused.value.facts["tries_left"] == 4
    type_, facts = told(world, exchange)[-1]
    assert (type_, facts["helper"]) == ("exchange.code_wrong", encode("helper", helper.id))


@pytest.mark.parametrize("may", [(), (May.PAY,), (May.REPORT_PROBLEM, May.ACCEPT_OFFERS)])
def test_what_a_helper_was_not_allowed_is_refused_and_changes_nothing(
    world: World, may: tuple[May, ...]
) -> None:
    exchange = world.funded(world.sale())
    helper = name(world, world.payer, *may)
    before = told(world, exchange)
    with pytest.raises(helping.HelperMayNot) as refused:
        act(world, exchange, helper, "confirm")
    assert "only the member can" in str(refused.value)
    assert told(world, exchange) == before
    assert given(world, exchange) == []


def test_every_step_of_a_member_says_what_a_helper_needs_for_it_or_is_the_members_alone() -> None:
    of_members = {step.name for step in STEPS if step.by not in MACHINES}
    assert of_members - set(helping.NEEDS) == {"counter_offer"}
    assert set(helping.NEEDS) - of_members == {"show_code"}


def test_a_limit_stops_at_its_last_cent_and_deposits_and_fees_are_part_of_the_worth(
    world: World,
) -> None:
    exchange = world.funded(world.sale(6_500))
    just = name(world, world.payer, May.CONFIRM, limit=(6_500, "EUR"))
    less = name(world, world.payer, May.CONFIRM, limit=(6_499, "EUR"), email="maud@example.org")
    other = name(world, world.payer, May.CONFIRM, limit=(9_999, "HOURS"), email="lea@example.org")
    for one in (less, other):
        with pytest.raises(helping.HelperBeyondLimit):
            act(world, exchange, one, "confirm")
    assert given(world, exchange) == []
    act(world, exchange, just, "confirm")
    rental = world.draft("rental", [("price", 1_000, "EUR"), ("deposit", 5_000, "EUR")])
    lent = world.funded(world.propose(rental))
    small = name(world, world.payee, May.CONFIRM, limit=(5_999, "EUR"), email="a@example.org")
    with pytest.raises(helping.HelperBeyondLimit):
        act(world, lent, small, "confirm")


def test_beyond_the_limit_a_helper_can_still_step_back_and_report_a_problem(world: World) -> None:
    exchange = world.funded(world.sale())
    may = (May.CONFIRM, May.REPORT_PROBLEM, May.ACCEPT_OFFERS)
    helper = name(world, world.payer, *may, limit=(1, "EUR"))
    world.step(exchange, "confirm", PAYER)
    act(world, exchange, helper, "withdraw_confirmation")
    with pytest.raises(helping.HelperBeyondLimit):
        act(world, exchange, helper, "propose_cancellation")
    answers = {"what_is_damaged": "The frame.", "when_noticed": "At the hand-over."}
    reported = act(world, exchange, helper, "claim", claim=ClaimDraft("damaged", answers=answers))
    assert reported.case_id is not None
    with db.transaction(world.engine, world.platform_id) as connection:
        query = text("SELECT data FROM disputes.entry WHERE case_id = :id AND type = 'opened'")
        data = connection.scalar(query, {"id": reported.case_id})
    assert data["helper"] == str(helper.id), "the journal of the case says whose hand it was"


def test_a_helper_of_one_exchange_is_none_of_another(world: World) -> None:
    one, other = world.funded(world.sale()), world.funded(world.sale())
    helper = name(world, world.payer, May.CONFIRM, exchange_id=one.id)
    with pytest.raises(helping.HelperMayNot):
        act(world, other, helper, "confirm")
    act(world, one, helper, "confirm")


def test_who_has_ended_or_whose_time_is_over_does_nothing_more(world: World) -> None:
    exchange = world.funded(world.sale())
    short = name(world, world.payer, May.CONFIRM, ends_at=world.now + timedelta(hours=1))
    helper = name(world, world.payer, May.CONFIRM, email="maud@example.org")
    assert end(world, helper).ended_by == "member"
    with pytest.raises(helpers.HelperOver):
        end(world, helper)
    with pytest.raises(helping.HelperEnded):
        act(world, exchange, helper, "confirm")
    world.now += timedelta(hours=1)
    with pytest.raises(helping.HelperEnded):
        act(world, exchange, short, "confirm")
    assert given(world, exchange) == []


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"email": "YANN@example.org "}, {"email": "yann@example.org"}),
        ({"email": None, "phone": "+33612345678"}, {"phone": "06 12 34 56 78"}),
    ],
)
def test_nobody_helps_both_sides_nor_the_side_they_face(
    world: World, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    exchange = world.funded(world.sale())
    contact(world, world.payee, **theirs)
    with pytest.raises(helping.HelperIsOtherSide):
        name(world, world.payer, May.CONFIRM, exchange_id=exchange.id, **mine)
    with pytest.raises(helpers.HelperIsMember):
        name(world, world.payee, May.CONFIRM, **mine)
    # Named for all exchanges, it comes out with the first step.
    helper = name(world, world.payer, May.CONFIRM, **mine)
    with pytest.raises(helping.HelperIsOtherSide):
        act(world, exchange, helper, "confirm")


def test_the_helper_of_one_side_does_not_act_for_the_other_as_well(world: World) -> None:
    exchange = world.funded(world.sale())
    ours = name(world, world.payer, May.CONFIRM)
    act(world, exchange, ours, "confirm")
    with pytest.raises(helping.HelperIsOtherSide):
        name(world, world.payee, May.CONFIRM, exchange_id=exchange.id)
    theirs = name(world, world.payee, May.CONFIRM)
    with pytest.raises(helping.HelperIsOtherSide):
        act(world, exchange, theirs, "confirm")
    assert world.read(exchange).state is State.ACTIVE


def test_a_helper_names_nobody_and_ends_nobody(world: World) -> None:
    helper = name(world, world.payer, *May)
    hand = Who(world.payer, helping.HELPER, helper.id)
    with pytest.raises(helping.HelperMayNot):
        name(world, world.payer, May.CONFIRM, who=hand, email="maud@example.org")
    with (
        db.transaction(world.engine, world.platform_id) as connection,
        pytest.raises(helping.HelperMayNot),
    ):
        helpers.end(connection, world.platform_id, hand, helper.id, world.now)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"name": " "}, "/name"),
        ({"email": " ", "phone": None}, "/email"),
        ({"limit": (0, "EUR")}, "/limit/amount"),
        ({"limit": (5, "MOONS")}, "/limit/unit"),
        ({"days": 0}, "/ends_at"),
        ({"days": MOST.days + 1}, "/ends_at"),
    ],
)
def test_a_helper_without_a_name_a_contact_an_end_or_a_unit_is_not_named(
    world: World, wrong: dict[str, Any], pointer: str
) -> None:
    days = wrong.pop("days", 30)
    with pytest.raises(Refusal) as refused:
        name(world, world.payer, May.LOOK, ends_at=world.now + timedelta(days=days), **wrong)
    assert refused.value.pointer == pointer


def test_somebody_who_helps_already_is_not_named_for_the_same_again(world: World) -> None:
    helper = name(world, world.payer, May.LOOK)
    with pytest.raises(helpers.AlreadyHelps):
        name(world, world.payer, May.CONFIRM)
    end(world, helper)
    name(world, world.payer, May.CONFIRM)


def test_looking_at_the_code_is_told_once_and_only_who_may_confirm_can(world: World) -> None:
    exchange = world.funded(world.sale())
    helper = name(world, world.payer, May.CONFIRM)
    looker = name(world, world.payer, May.PAY, email="maud@example.org")

    def show(one: Helper) -> str:
        who = Who(world.payer, helping.HELPER, one.id)
        with db.transaction(world.engine, world.platform_id) as connection:
            key = (connection, world.platform_id, exchange.id, who)
            return helpers.show_code(*key, world.rules)[1]

    with pytest.raises(helping.HelperMayNot):
        show(looker)
    assert show(helper) == show(helper) == world.code(exchange)
    seen = [facts for type_, facts in told(world, exchange) if type_ == "member.assisted"]
    assert [(one["step"], one["by"]) for one in seen] == [("show_code", "payer")]


def test_the_database_takes_no_word_of_a_helper_who_may_not_give_it(world: World) -> None:
    exchange = world.funded(world.sale())
    looker = name(world, world.payer, May.PAY)
    insert = text(
        "INSERT INTO service.confirmation (platform_id, id, exchange_id, checkpoint, role, "
        "member_id, word, method, via, at, helper_id) VALUES (:platform_id, uuidv7(), "
        ":exchange_id, 'handover', 'payer', :member_id, 'confirmed', 'word', 'helper', :at, "
        ":helper_id)"
    )
    values = {
        "platform_id": world.platform_id,
        "exchange_id": exchange.id,
        "member_id": world.payer,
        "at": world.now,
        "helper_id": looker.id,
    }
    with (
        pytest.raises(DatabaseError, match="may not confirm here"),
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        connection.execute(insert, values)
    widen = text("UPDATE service.helper SET may = ARRAY['look', 'confirm'] WHERE id = :helper_id")
    with (
        pytest.raises(DatabaseError, match="never changed"),
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        connection.execute(widen, values)


def test_whoever_ends_a_helper_waits_for_what_the_helper_is_doing_and_stops_what_comes_after(
    world: World,
) -> None:
    exchange = world.funded(world.sale())
    helper = name(world, world.payer, May.CONFIRM)
    who = Who(world.payer, helping.HELPER, helper.id)
    command = Command(exchange.id, "confirm", who, checkpoint="handover")
    with ThreadPoolExecutor(1) as pool:
        with db.transaction(world.engine, world.platform_id) as connection:
            (done,) = advance.advance(connection, world.platform_id, [command], world.rules)
            ending = pool.submit(end, world, helper)
            wait_until_it_waits(world)
        assert not isinstance(done, Refusal)
        assert ending.result(30).ended_by == "member"
    assert [word["via"] for word in given(world, exchange)] == ["helper"]

    again = name(world, world.payer, May.CONFIRM)
    with ThreadPoolExecutor(1) as pool:
        with db.transaction(world.engine, world.platform_id) as connection:
            own = Who(world.payer, "member")
            helpers.end(connection, world.platform_id, own, again.id, world.now)
            acting = pool.submit(act, world, exchange, again, "withdraw_confirmation")
            wait_until_it_waits(world)
        with pytest.raises(helping.HelperEnded):
            acting.result(30)
    assert len(given(world, exchange)) == 1


def wait_until_it_waits(world: World) -> None:
    """Return once another connection of this test's database waits for a lock."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 30
    while True:
        with world.engine.connect() as connection:
            if connection.scalar(query):
                return
        assert time.monotonic() < deadline, "nobody waited"
        time.sleep(0.01)
