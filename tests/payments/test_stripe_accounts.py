"""Payees' accounts and their bank payouts through the adapter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from service.ids import uuid7
from service.payments.port import ProviderRefused, ProviderUnavailable, Status
from tests.payments.stripe_bench import RETURN, StripeBench


def test_an_account_is_opened_with_the_platform_bearing_fees_and_losses(
    bench: StripeBench,
) -> None:
    member = uuid7()
    facts = {"country": "FR", "email": "rozenn@example.org"}
    seen = bench.provider.open_account(bench.platform_id, member, facts)
    made = bench.server.object(seen.ref)
    assert made["controller"] == {
        "fees": {"payer": "application"},
        "is_controller": True,
        "losses": {"payments": "application"},
        "requirement_collection": "stripe",
        "stripe_dashboard": {"type": "express"},
        "type": "application",
    }
    assert (made["country"], made["business_type"]) == ("FR", "individual")
    assert made["email"] == "rozenn@example.org"
    assert made["metadata"]["tierce_member"] == str(member)
    assert "transfers" in made["capabilities"]


def test_a_fresh_account_is_not_ready_and_says_what_is_due(bench: StripeBench) -> None:
    seen = bench.provider.open_account(bench.platform_id, uuid7(), {"country": "FR"})
    assert (seen.ready, seen.bank_ready, seen.submitted) == (False, False, False)
    assert "external_account" in seen.due
    assert seen.disabled_reason == "requirements.past_due"


def test_a_member_has_one_account_even_when_stripe_forgot_the_key(bench: StripeBench) -> None:
    member = uuid7()
    first = bench.provider.open_account(bench.platform_id, member, {"country": "FR"})
    moved = {"country": "FR", "email": "new@example.org"}
    assert bench.provider.open_account(bench.platform_id, member, moved).ref == first.ref
    bench.server.advance(days=3)
    assert bench.provider.open_account(bench.platform_id, member, moved).ref == first.ref
    other = bench.provider.open_account(bench.platform_id, uuid7(), {"country": "FR"})
    assert other.ref != first.ref


@pytest.mark.parametrize("fault", ["after", "500_after"])
def test_an_account_whose_answer_was_lost_is_not_opened_twice(
    bench: StripeBench, fault: str
) -> None:
    bench.server.fault("/v1/accounts", fault, 1, method="POST")
    member = uuid7()
    refs = set()
    for _ in range(3):
        try:
            seen = bench.provider.open_account(bench.platform_id, member, {"country": "FR"})
        except ProviderUnavailable:
            continue
        refs.add(seen.ref)
    assert len(refs) == 1
    assert bench.count("account") == 1


def test_a_link_leads_to_the_account_once_and_each_call_makes_a_new_one(
    bench: StripeBench,
) -> None:
    seen = bench.provider.open_account(bench.platform_id, uuid7(), {"country": "FR"})
    links = [
        bench.provider.account_link(bench.platform_id, seen.ref, RETURN, f"{RETURN}/again")
        for _ in range(2)
    ]
    assert len(set(links)) == 2
    assert [bench.server.open_link(link) for link in links] == [seen.ref, seen.ref]
    with pytest.raises(LookupError):
        bench.server.open_link(links[0])


def test_an_account_becomes_ready_and_may_be_asked_for_more_until_a_day(
    bench: StripeBench,
) -> None:
    ref = bench.payee()
    seen = bench.provider.retrieve_account(bench.platform_id, ref)
    assert (seen.ready, seen.bank_ready, seen.submitted) == (True, True, True)
    assert (seen.due, seen.due_by, seen.disabled_reason) == ((), None, None)
    until = bench.server.now + timedelta(days=10)
    bench.server.require(ref, ["individual.verification.document"], until)
    asked = bench.provider.retrieve_account(bench.platform_id, ref)
    assert asked.ready
    assert (asked.due, asked.due_by) == (("individual.verification.document",), until)
    bench.server.advance(days=10)
    late = bench.provider.retrieve_account(bench.platform_id, ref)
    assert not late.ready
    assert late.disabled_reason == "requirements.past_due"


def test_another_platform_s_payee_is_unknown(
    bench: StripeBench, new_platform: Callable[[], UUID]
) -> None:
    neighbour = new_platform()
    bench.connect(neighbour, bench.key)
    ref = bench.payee()
    with pytest.raises(ProviderRefused) as refused:
        bench.provider.retrieve_account(neighbour, ref)
    assert refused.value.failure == "unknown_object"
    with pytest.raises(ProviderRefused):
        bench.provider.account_link(neighbour, ref, RETURN, RETURN)
    with pytest.raises(ProviderRefused) as gone:
        bench.provider.retrieve_account(bench.platform_id, "acct_of_nobody")
    assert gone.value.failure == "unknown_object"


def test_money_on_its_way_to_a_payee_s_bank_arrives_or_comes_back(bench: StripeBench) -> None:
    bench.server.top_up(bench.account, 50_000)
    ref = bench.payee()
    bench.provider.submit(bench.payout(ref, 8_000))
    bench.server.advance(days=1)
    (paid,) = bench.server.objects(bench.server.account(ref), "payout")
    moving = bench.provider.retrieve_bank_payout(bench.platform_id, ref, paid["id"])
    assert (moving.status, moving.amount, moving.unit) == (Status.PENDING, 8_000, "EUR")
    assert moving.account_ref == ref
    assert moving.arrives_at is not None
    bench.server.advance(days=3)
    there = bench.provider.retrieve_bank_payout(bench.platform_id, ref, paid["id"])
    assert (there.status, there.failure) == (Status.SUCCEEDED, None)
    bench.server.fail_payout(paid["id"])
    back = bench.provider.retrieve_bank_payout(bench.platform_id, ref, paid["id"])
    assert (back.status, back.failure) == (Status.FAILED, "account_closed")


def test_a_bank_payout_of_an_account_that_is_not_ours_is_refused(bench: StripeBench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        bench.provider.retrieve_bank_payout(bench.platform_id, "acct_of_nobody", "po_1")
    assert refused.value.failure == "account_unusable"
