"""Keys, isolation, lists, idempotency and faults of the Stripe-shaped server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from tests.payments.shop import Shop, code, connect, open_shop
from tests.stripe_server import StripeServer, forms

ASKED: Any = {"amount": 900, "currency": "eur", "metadata": {"a": "b"}}


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A platform on a fresh server."""
    with open_shop() as made:
        yield made


def test_a_key_opens_one_account_and_no_other(shop: Shop) -> None:
    other = shop.server.add_account("sk_test_other_one", "sk_test_other_two")
    theirs = shop.pay(900)
    for key in ("sk_test_other_one", "sk_test_other_two"):
        client = connect(shop.server, key)
        assert client.v1.accounts.retrieve_current().id == other.id
        assert list(client.v1.payment_intents.list()) == []
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.payment_intents.retrieve(theirs.id)
        assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.refunds.create({"payment_intent": theirs.id})


def test_an_unknown_or_revoked_key_opens_nothing(shop: Shop) -> None:
    shop.server.add_account("sk_test_soon_gone")
    client = connect(shop.server, "sk_test_soon_gone")
    client.v1.balance.retrieve()
    shop.server.revoke_key("sk_test_soon_gone")
    for wrong in (client, connect(shop.server, "sk_test_never_known")):
        with pytest.raises(stripe.AuthenticationError) as refusal:
            wrong.v1.balance.retrieve()
        assert "sk_test_never_known" not in str(refusal.value)


def test_a_platform_acts_for_its_connected_accounts_alone(shop: Shop) -> None:
    payee = shop.payee()
    shop.server.top_up(shop.platform, 900)
    shop.transfer(payee, 700)
    acting: Any = {"stripe_account": payee}
    assert shop.client.v1.balance.retrieve(options=acting).available[0].amount == 700
    assert shop.client.v1.balance.retrieve().available[0].amount == 200
    shop.server.add_account("sk_test_stranger")
    stranger = connect(shop.server, "sk_test_stranger")
    with pytest.raises(stripe.PermissionError) as refusal:
        stranger.v1.balance.retrieve(options=acting)
    assert code(refusal.value) == "account_invalid"
    with pytest.raises(stripe.InvalidRequestError) as missing:
        stranger.v1.accounts.retrieve(payee)
    assert missing.value.http_status == 404


def test_lists_are_read_page_by_page_in_both_directions(shop: Shop) -> None:
    create, read = shop.client.v1.payment_intents.create, shop.client.v1.payment_intents.list
    refs = [create(ASKED).id for _ in range(7)][::-1]
    first = read({"limit": 3})
    assert ([row.id for row in first.data], first.has_more) == (refs[:3], True)
    last = read({"limit": 3, "starting_after": refs[5]})
    assert ([row.id for row in last.data], last.has_more) == (refs[6:], False)
    before = read({"limit": 2, "ending_before": refs[3]})
    assert ([row.id for row in before.data], before.has_more) == (refs[1:3], True)
    assert [row.id for row in read({"limit": 2}).auto_paging_iter()] == refs
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        read({"starting_after": "pi_none"})
    assert refusal.value.code == "resource_missing"
    with pytest.raises(stripe.InvalidRequestError):
        read({"limit": 101})


def test_lists_are_filtered_by_when_something_was_created(shop: Shop) -> None:
    create, read = shop.client.v1.payment_intents.create, shop.client.v1.payment_intents.list
    first = create(ASKED)
    shop.server.advance(hours=1)
    second = create(ASKED)
    at = int(shop.server.now.timestamp())
    assert [row.id for row in read({"created": {"gte": at}}).data] == [second.id]
    assert [row.id for row in read({"created": {"lt": at}}).data] == [first.id]
    assert [row.id for row in read({"created": at}).data] == [second.id]
    assert read({"created": {"gt": at - 10, "lte": at - 1}}).data == []


def test_references_are_expanded_as_deep_as_asked(shop: Shop) -> None:
    paid = shop.pay(900, expand=["latest_charge.balance_transaction", "payment_method"])
    assert isinstance(paid.payment_method, stripe.PaymentMethod)
    lines = shop.client.v1.balance_transactions.list(
        {"expand": ["data.source", "data.source.payment_intent"]}
    )
    source = lines.data[0].source
    assert isinstance(source, stripe.Charge)
    assert isinstance(source.payment_intent, stripe.PaymentIntent)
    for path in ("amount", "metadata.a.b", "latest_charge.mood"):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            shop.client.v1.payment_intents.retrieve(paid.id, {"expand": [path]})


def test_forms_nest_as_their_brackets_say() -> None:
    assert forms.parse("a[b]=1&c[]=2&c[]=3&d[0][e]=4&d[1][e]=5&f=") == {
        "a": {"b": "1"},
        "c": ["2", "3"],
        "d": [{"e": "4"}, {"e": "5"}],
        "f": "",
    }


def test_uploads_come_byte_for_byte() -> None:
    content = bytes(range(256)) + b"\r\n\r\n--edge"
    body = (
        b'--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\ndispute_evidence\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
        + content.replace(b"--edge", b"--elsewhere")
        + b"\r\n--edge--\r\n"
    )
    assert forms.multipart(body, "multipart/form-data; boundary=edge") == {
        "purpose": "dispute_evidence",
        "file": forms.Upload("a.pdf", content.replace(b"--edge", b"--elsewhere")),
    }


def headers(obj: Any) -> dict[str, str]:
    """Return the headers that an object came with, by small names."""
    return {name.lower(): value for name, value in obj.last_response.headers.items()}


def test_the_same_key_says_the_same_answer_again(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    keyed: Any = {"idempotency_key": "k"}
    first, second = create(ASKED, keyed), create(ASKED, keyed)
    assert first.id == second.id
    assert "idempotent-replayed" not in headers(first)
    assert headers(second)["idempotent-replayed"] == "true"
    assert headers(first)["request-id"] != headers(second)["request-id"]
    shop.client.v1.payment_intents.cancel(first.id)
    assert create(ASKED, keyed).status == "requires_payment_method"  # as it was then
    assert len(shop.server.objects(shop.platform, "payment_intent")) == 1


def test_a_key_belongs_to_its_account_and_parameters(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    keyed: Any = {"idempotency_key": "k"}
    create(ASKED, keyed)
    with pytest.raises(stripe.IdempotencyError):
        create({**ASKED, "amount": 901}, keyed)
    with pytest.raises(stripe.IdempotencyError):
        shop.client.v1.customers.create({}, keyed)
    shop.server.add_account("sk_test_neighbour")
    connect(shop.server, "sk_test_neighbour").v1.payment_intents.create(ASKED, keyed)
    with pytest.raises(stripe.IdempotencyError):
        create(ASKED, {"idempotency_key": "k" * 256})


def test_a_key_is_forgotten_after_a_day_and_then_makes_another_object(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    keyed: Any = {"idempotency_key": "k"}
    first = create(ASKED, keyed)
    shop.server.advance(hours=23, minutes=59)
    assert create(ASKED, keyed).id == first.id
    shop.server.advance(minutes=1)
    assert create(ASKED, keyed).id != first.id


def test_a_wrong_parameter_does_not_spend_the_key(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    keyed: Any = {"idempotency_key": "k"}
    with pytest.raises(stripe.InvalidRequestError):
        create({**ASKED, "amount": 1}, keyed)
    with pytest.raises(stripe.InvalidRequestError):
        create({**ASKED, "customer": "cus_none"}, keyed)
    assert create(ASKED, keyed).amount == 900


def test_a_refusal_found_while_working_is_kept(shop: Shop) -> None:
    payee = shop.payee()
    asked: Any = {"amount": 900, "currency": "eur", "destination": payee}
    keyed: Any = {"idempotency_key": "k"}
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            shop.client.v1.transfers.create(asked, keyed)
        assert refusal.value.code == "balance_insufficient"
        shop.server.top_up(shop.platform, 5_000)
    shop.client.v1.transfers.create(asked, {"idempotency_key": "another"})


def test_a_decline_is_kept(shop: Shop) -> None:
    asked: Any = {**ASKED, "payment_method": "pm_card_visa_chargeDeclined", "confirm": True}
    asked["allowed_payment_method_types"] = ["card"]
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            shop.client.v1.payment_intents.create(asked, {"idempotency_key": "k"})
    assert len(shop.server.objects(shop.platform, "charge")) == 1


def made(shop: Shop) -> int:
    """Count the intents that were made."""
    return len(shop.server.objects(shop.platform, "payment_intent"))


@pytest.mark.parametrize(("kind", "done"), [("before", 0), ("after", 1)])
def test_a_connection_breaks_before_or_after_the_work(shop: Shop, kind: str, done: int) -> None:
    create: Any = shop.client.v1.payment_intents.create
    keyed: Any = {"idempotency_key": "k"}
    fault = shop.server.fault("/v1/payment_intents", kind)
    with pytest.raises(stripe.APIConnectionError):
        create(ASKED, keyed)
    assert (made(shop), fault.hit) == (done, 1)
    create(ASKED, keyed)
    assert made(shop) == 1


@pytest.mark.parametrize(("kind", "done"), [("500", 0), ("500_after", 1)])
def test_an_internal_error_is_said_again(shop: Shop, kind: str, done: int) -> None:
    create: Any = shop.client.v1.payment_intents.create
    shop.server.fault("/v1/payment_intents", kind)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as refusal:
            create(ASKED, {"idempotency_key": "k"})
        assert refusal.value.http_status == 500
    assert made(shop) == done
    create(ASKED, {"idempotency_key": "another"})
    assert made(shop) == done + 1


def test_too_many_requests_do_nothing_and_say_when_to_come_back(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    shop.server.fault("/v1/payment_intents", "429", times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as refusal:
            create(ASKED, {"idempotency_key": "k"})
        assert (refusal.value.headers or {})["Retry-After"] == "1"
    create(ASKED, {"idempotency_key": "k"})
    assert made(shop) == 1


def test_a_fault_hits_only_what_it_was_ordered_for(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    shop.server.fault("/v1/payment_intents", "before", skip=1, method="POST")
    shop.client.v1.balance.retrieve()
    create(ASKED)
    shop.client.v1.payment_intents.list()
    with pytest.raises(stripe.APIConnectionError):
        create(ASKED)
    create(ASKED)
    with pytest.raises(ValueError, match="no such fault"):
        shop.server.fault("/v1", "earthquake")


def test_a_key_in_use_is_told_until_the_first_request_is_done(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    keyed: Any = {"idempotency_key": "k"}
    fault = shop.server.fault("/v1/payment_intents", "timeout")
    answers: list[str] = []
    first = threading.Thread(target=lambda: answers.append(create(ASKED, keyed).id))
    first.start()
    assert fault.reached.wait(10)
    with pytest.raises(stripe.APIError) as refusal:
        create(ASKED, keyed)
    assert (refusal.value.http_status, code(refusal.value)) == (409, "idempotency_key_in_use")
    assert made(shop) == 0
    shop.server.release()
    first.join()
    assert answers == [create(ASKED, keyed).id]


def test_a_client_that_gave_up_finds_what_was_done(shop: Shop) -> None:
    shop.server.fault("/v1/payment_intents", "timeout_after")
    impatient = StripeClient(
        shop.platform.secret_keys[0],
        base_addresses={"api": shop.server.url},
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=0.2),
    )
    keyed: Any = {"idempotency_key": "k"}
    with pytest.raises(stripe.APIConnectionError):
        impatient.v1.payment_intents.create(ASKED, keyed)
    again = shop.client.v1.payment_intents.create(ASKED, keyed)
    assert headers(again)["idempotent-replayed"] == "true"
    assert made(shop) == 1


def test_requests_are_logged_as_they_came(shop: Shop) -> None:
    shop.client.v1.payment_intents.create(ASKED, {"idempotency_key": "k"})
    logged = shop.server.requests[-1]
    assert tuple(logged) == (
        "POST",
        "/v1/payment_intents",
        {"amount": "900", "currency": "eur", "metadata": {"a": "b"}},
        "k",
        shop.platform.id,
    )


def test_what_breaks_inside_fails_the_test_that_met_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = StripeServer().start()
    account = server.add_account("sk_test_broken")
    monkeypatch.setattr(account, "funds", None)
    with pytest.raises(stripe.APIError):
        connect(server, "sk_test_broken").v1.balance.retrieve()
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="AttributeError"):
        server.stop()


def test_account_links_are_good_for_once_and_not_for_long(shop: Shop) -> None:
    payee = shop.payee()
    asked: Any = {
        "account": payee,
        "type": "account_onboarding",
        "refresh_url": "https://example.org/again",
        "return_url": "https://example.org/back",
    }
    first, second = (shop.client.v1.account_links.create(asked) for _ in range(2))
    assert shop.server.open_link(first.url) == payee
    shop.server.advance(minutes=5)
    for link in (first, second):
        with pytest.raises(LookupError):
            shop.server.open_link(link.url)


def test_requirements_close_an_account_when_their_time_is_over(shop: Shop) -> None:
    read = shop.client.v1.accounts.retrieve
    made_now = shop.client.v1.accounts.create({"capabilities": {"transfers": {"requested": True}}})
    assert made_now.requirements is not None
    assert made_now.requirements.disabled_reason == "requirements.past_due"
    assert made_now.payouts_enabled is False
    payee = shop.payee()
    assert (read(payee).payouts_enabled, read(payee).details_submitted) == (True, True)
    shop.server.require(payee, ["individual.id_number"], shop.server.now.replace(hour=0, year=2030))
    due = read(payee).requirements
    assert due is not None
    assert due.currently_due == ["individual.id_number"]
    assert due.current_deadline is not None
    assert read(payee).payouts_enabled
    shop.server.now = shop.server.now.replace(hour=0, year=2030)
    late = read(payee)
    assert late.requirements is not None
    assert late.requirements.past_due == ["individual.id_number"]
    assert late.payouts_enabled is False
    assert late.capabilities is not None
    assert late.capabilities.transfers == "inactive"
    shop.server.complete_onboarding(payee)
    assert read(payee).payouts_enabled
    assert "account.updated" in shop.told(account=payee)


def test_the_older_way_to_open_an_account_is_refused(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.client.v1.accounts.create({"type": "express"})
    assert refusal.value.param == "type"
