"""What the adapter makes of Stripe's troubles: unavailable, refused, or a mistake of ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
import stripe
from sqlalchemy import Engine
from structlog.testing import capture_logs

from service.config import Settings
from service.db import transaction
from service.payments import connections
from service.payments.connected import Connected
from service.payments.port import ProviderUnavailable, Status
from service.payments.stripe.client import RETRIES, Clients
from service.payments.stripe.errors import (
    _DECLINES,
    _MISSING,
    _REFUND_FAILURES,
    _REFUSALS,
    _SHORT,
    FAILURES,
    decline,
    retry_after,
)
from service.payments.stripe.limits import LONGEST_WAIT
from service.payments.stripe.provider import Stripe
from tests.payments.stripe_bench import CODE_KEY, StripeBench

INTENTS = "/v1/payment_intents"


def _unavailable(bench: StripeBench) -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as unavailable:
        bench.provider.held(bench.platform_id)
    return unavailable.value


def test_too_many_calls_are_unavailable_for_as_long_as_stripe_says(bench: StripeBench) -> None:
    bench.server.fault("/v1/balance", "429", 1)
    assert _unavailable(bench).retry_after == 1.0
    assert bench.provider.held(bench.platform_id) == {"EUR": 0}


@pytest.mark.parametrize("fault", ["before", "500"])
def test_a_call_that_got_no_answer_is_sent_again_a_few_times(
    bench: StripeBench, fault: str
) -> None:
    bench.server.fault("/v1/balance", fault, RETRIES)
    assert bench.provider.held(bench.platform_id) == {"EUR": 0}
    bench.server.fault("/v1/balance", fault, RETRIES + 1)
    _unavailable(bench)


def test_nobody_there_is_unavailable(engine: Engine, platform_id: UUID, bench: StripeBench) -> None:
    nobody = Stripe(engine, CODE_KEY, lambda: bench.server.now, "http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailable):
        nobody.held(platform_id)


def test_a_revoked_key_is_unavailable_and_told_once_and_loudly(
    bench: StripeBench,
) -> None:
    bench.server.revoke_key(bench.key)
    with capture_logs() as told:
        for _ in range(3):
            _unavailable(bench)
    assert [(one["log_level"], one["event"]) for one in told] == [
        ("critical", "stripe_credential_refused")
    ]
    assert bench.key not in repr(told)


def test_a_new_key_is_used_at_once(bench: StripeBench) -> None:
    bench.server.revoke_key(bench.key)
    _unavailable(bench)
    bench.server.add_key(bench.account, "sk_test_the_second")
    bench.connect(bench.platform_id, "sk_test_the_second")
    assert bench.provider.held(bench.platform_id) == {"EUR": 0}


def test_a_client_is_made_once_for_each_version_of_a_connection(bench: StripeBench) -> None:
    first = bench.provider.account(bench.platform_id)
    assert bench.provider.account(bench.platform_id) is first
    bench.server.add_key(bench.account, "sk_test_the_second")
    bench.connect(bench.platform_id, "sk_test_the_second")
    assert bench.provider.account(bench.platform_id) is not first


def test_only_so_many_clients_are_kept(
    bench: StripeBench, monkeypatch: pytest.MonkeyPatch, new_platform: Callable[[], UUID]
) -> None:
    monkeypatch.setattr("service.payments.stripe.client.MOST_CLIENTS", 2)
    clients = Clients(bench.server.url)

    def of(platform_id: UUID) -> Connected:
        bench.connect(platform_id, bench.key)
        return bench.provider.connected(platform_id)

    one, two, three = (of(new_platform()) for _ in range(3))
    first, second = clients.of(one), clients.of(two)
    assert clients.of(one) is first
    clients.of(three)
    assert clients.of(one) is first
    assert clients.of(two) is not second


def test_a_key_of_another_account_asks_for_nothing(
    bench: StripeBench,
) -> None:
    with transaction(bench.engine, bench.platform_id) as connection:
        connections.record_check(
            connection, bench.platform_id, 1, bench.account.id, bench.server.now
        )
    assert bench.provider.held(bench.platform_id) == {"EUR": 0}
    bench.server.add_account("sk_test_of_another_account")
    bench.connect(bench.platform_id, "sk_test_of_another_account")
    with capture_logs() as told, pytest.raises(ProviderUnavailable):
        bench.provider.submit(bench.collect())
    assert "stripe_account_differs" in {one["event"] for one in told}
    assert bench.keys(INTENTS) == []


def test_secrets_that_do_not_open_make_the_provider_unavailable(bench: StripeBench) -> None:
    changed = "a code key that was changed since"
    other = Stripe(bench.engine, changed, lambda: bench.server.now, bench.server.url)
    with pytest.raises(ProviderUnavailable, match="TIERCE_CODE_KEY"):
        other.held(bench.platform_id)


def test_no_call_is_made_inside_a_transaction(bench: StripeBench) -> None:
    with transaction(bench.engine, bench.platform_id), pytest.raises(RuntimeError):
        bench.provider.held(bench.platform_id)


def test_every_request_that_changes_something_has_a_key_of_ours(bench: StripeBench) -> None:
    paid = bench.collected()
    bench.provider.submit(bench.collect(save_method=True))
    bench.provider.submit(bench.refund(paid, 100))
    payout = bench.provider.submit(bench.payout(bench.payee(), 1_000))
    bench.provider.submit(bench.reversal(payout, 100))
    held = bench.collect(capture="manual")
    seen = bench.provider.submit(held)
    bench.provider.capture(bench.platform_id, held.payment_id, seen.ref, 5_000)
    posts = [one for one in bench.server.requests if one.method == "POST"]
    ours = {str(value) for one in posts for value in _texts(one.params.get("metadata"))}
    for one in posts:
        assert one.idempotency_key, one.path
        owner = one.idempotency_key.partition(":")[0]
        assert owner in ours, one.path
    assert len({one.idempotency_key for one in posts}) == len(posts)


def _texts(metadata: object) -> list[str]:
    return list(metadata.values()) if isinstance(metadata, dict) else []


def test_a_slow_provider_opens_the_circuit_and_a_good_answer_closes_it(bench: StripeBench) -> None:
    seconds = [0.0]
    provider = Stripe(
        bench.engine, CODE_KEY, lambda: bench.server.now, bench.server.url, lambda: seconds[0]
    )
    bench.server.fault("/v1/balance", "before", RETRIES + 1)
    with pytest.raises(ProviderUnavailable):
        provider.held(bench.platform_id)
    asked = len(bench.server.requests)
    with pytest.raises(ProviderUnavailable) as left_alone:
        provider.held(bench.platform_id)
    assert len(bench.server.requests) == asked
    assert 0 < (left_alone.value.retry_after or 0) <= 1
    seconds[0] += 1.0
    assert provider.held(bench.platform_id) == {"EUR": 0}
    provider.close()


def test_the_budget_of_a_sandbox_is_25_calls_at_once(bench: StripeBench) -> None:
    provider = Stripe(
        bench.engine, CODE_KEY, lambda: bench.server.now, bench.server.url, lambda: 0.0
    )
    for _ in range(25):
        provider.held(bench.platform_id)
    # A few more wait for their turn, and then everybody is told to come back.
    refused = 0
    for _ in range(20):
        try:
            provider.held(bench.platform_id)
        except ProviderUnavailable:
            refused += 1
    assert refused >= 20 - int(25 * LONGEST_WAIT) - 1
    provider.close()


def test_nothing_of_the_module_stripe_is_set(bench: StripeBench) -> None:
    bench.collected()
    assert stripe.api_key is None
    assert stripe.default_http_client is None
    assert stripe.api_base == "https://api.stripe.com"


def test_every_code_of_a_failure_is_in_the_closed_set() -> None:
    told = {*_REFUSALS.values(), *_MISSING.values(), *_REFUND_FAILURES.values()}
    told |= {_SHORT.get(code, code) for code in _DECLINES.values()}
    assert told <= FAILURES
    assert decline("nothing_that_stripe_ever_said", None) in FAILURES


@pytest.mark.parametrize(
    ("codes", "failure"),
    [
        (("insufficient_funds", "card_declined"), "insufficient_funds"),
        (("authentication_required", "authentication_required"), "authentication_required"),
        ((None, "payment_intent_authentication_failure"), "authentication_failed"),
        (("generic_decline", "card_declined"), "card_declined"),
        (("do_not_honor", "card_declined"), "card_declined"),
        ((None, "expired_card"), "expired_card"),
        (("debit_not_authorized", None), "debit_returned"),
        ((), "card_declined"),
    ],
)
def test_a_decline_says_what_the_member_can_do_about_it(
    codes: tuple[str | None, ...], failure: str
) -> None:
    assert decline(*codes) == failure


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 3 ", 3.0),
        ("3.5", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-1", None),
        ("", None),
    ],
)
def test_a_retry_after_that_is_no_number_of_seconds_is_none(
    value: str, seconds: float | None
) -> None:
    assert retry_after({"Retry-After": value}) == seconds


@pytest.mark.parametrize(
    ("base", "fine"),
    [
        ("https://api.stripe.com", True),
        ("http://127.0.0.1:12111/", True),
        ("http://[::1]:12111", True),
        ("http://localhost:12111", True),
        ("http://api.stripe.com", False),
        ("ftp://127.0.0.1", True),
        ("//api.stripe.com", False),
    ],
)
def test_a_key_never_travels_in_the_open(base: str, fine: bool) -> None:
    if fine:
        assert not Settings(stripe_api_base=base).stripe_api_base.endswith("/")
        return
    with pytest.raises(ValueError, match="https"):
        Settings(stripe_api_base=base)


def test_a_payment_s_age_is_judged_by_the_clock_that_is_given(bench: StripeBench) -> None:
    asked = bench.collect()
    bench.provider.submit(asked)
    listed = [one for one in bench.server.requests if one.path == "/v1/charges"]
    bench.server.advance(hours=22)
    assert bench.provider.submit(asked).status is Status.SUCCEEDED
    assert listed == []
    bench.server.now += timedelta(hours=2)
    bench.provider.submit(asked)
    assert [one.path for one in bench.server.requests].count("/v1/charges") == 1
