"""Every object that the server shows has the shape that package `stripe` says."""

from __future__ import annotations

import importlib
import inspect
import io
import json
import pkgutil
import types
import typing
from collections.abc import Iterator
from typing import Any, ClassVar, ForwardRef, Literal, TypeVar, Union

import pytest
import stripe
from stripe import ListObject, StripeClient, StripeObject
from stripe._stripe_object import UntypedStripeObject
from stripe.checkout import Session
from stripe.radar import EarlyFraudWarning

from tests.payments.shop import Shop, open_shop
from tests.stripe_server import Account, StripeServer

SERVED: dict[str, type[StripeObject]] = {
    "account": stripe.Account,
    "account_link": stripe.AccountLink,
    "balance": stripe.Balance,
    "balance_settings": stripe.BalanceSettings,
    "balance_transaction": stripe.BalanceTransaction,
    "capability": stripe.Capability,
    "charge": stripe.Charge,
    "checkout.session": Session,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "file": stripe.File,
    "item": stripe.LineItem,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "payout": stripe.Payout,
    "radar.early_fraud_warning": EarlyFraudWarning,
    "refund": stripe.Refund,
    "transfer": stripe.Transfer,
    "transfer_reversal": stripe.TransferReversal,
    "webhook_endpoint": stripe.WebhookEndpoint,
}


def attributes(cls: type) -> dict[str, Any]:
    """Return what a class of the package annotates, bases included."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, StripeObject) and base is not StripeObject:
            found |= inspect.get_annotations(base)
    return {
        name.rstrip("_"): hint
        for name, hint in found.items()
        if typing.get_origin(hint) is not ClassVar and not name.startswith("_")
    }


def optional(hint: Any) -> bool:
    """Whether null may be said, and so the attribute may be absent."""
    return type(None) in typing.get_args(hint)


def faults(value: Any, hint: Any, path: str) -> Iterator[str]:
    """Tell where ``value`` is not what ``hint`` says."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return
    if isinstance(hint, (str, ForwardRef)):
        cls = SERVED.get(value["object"]) if isinstance(value, dict) else None
        if cls is None:
            yield f"{path}: {value!r} where {hint} belongs"
        else:
            yield from object_faults(value, cls, path)
    elif origin is Union or origin is types.UnionType:
        yield from union_faults(value, args, path)
    elif origin is Literal:
        if value not in args:
            yield f"{path}: {value!r} is none of the words"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for number, item in enumerate(value):
            yield from faults(item, args[0], f"{path}[{number}]")
    elif origin in {ListObject, UntypedStripeObject} or hint is UntypedStripeObject:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is no object"
        elif origin is ListObject:
            for number, item in enumerate(value["data"]):
                yield from faults(item, args[0], f"{path}.data[{number}]")
    elif isinstance(hint, type) and issubclass(hint, StripeObject):
        yield from object_faults(value, hint, path)
    elif type(value) is not hint:
        yield f"{path}: {value!r} is no {hint}"


def union_faults(value: Any, args: tuple[Any, ...], path: str) -> Iterator[str]:
    """Tell if no member fits; where words are listed beside ``str``, one of them must be it."""
    words = [arg for arg in args if typing.get_origin(arg) is Literal]
    if isinstance(value, str) and words:
        args = tuple(words)
    tried = [list(faults(value, arg, path)) for arg in args]
    if all(tried):
        yield from min(tried, key=len)


def object_faults(value: Any, cls: type, path: str) -> Iterator[str]:
    """Tell what is missing in, unknown to, or wrong in an object."""
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is no {cls.__name__}"
        return
    known = attributes(cls)
    for name in value.keys() - known.keys():
        yield f"{path}.{name}: unknown to {cls.__name__}"
    for name, hint in known.items():
        if name in value:
            yield from faults(value[name], hint, f"{path}.{name}")
        elif not optional(hint):
            yield f"{path}.{name}: missing, {cls.__name__} has it always"


@pytest.fixture(scope="module")
def lived() -> Iterator[tuple[StripeServer, Account, StripeClient]]:
    """A server on which everything happened once."""
    with open_shop() as shop:
        live(shop)
        yield shop.server, shop.platform, shop.client


def live(shop: Shop) -> None:
    """Do everything that the server can do, through the real client."""
    server, platform, v1 = shop.server, shop.platform, shop.client.v1
    customer = v1.customers.create({"email": "a@example.org", "metadata": {"a": "b"}})
    more: Any = {"metadata": {"exchange": "1"}, "description": "a bike"}
    for method in (
        "pm_card_visa",
        "pm_card_authenticationRequired",
        "pm_sepaDebit_ok",
        "pm_sepaDebit_late_failure",
        "pm_sepaDebit_disputed",
        "pm_card_createDispute",
        "pm_card_createInquiry",
        "pm_card_earlyFraudWarning",
    ):
        shop.pay(20_000, method, **more)
    for method in ("pm_card_visa_chargeDeclined", "pm_card_authenticationRequired"):
        with pytest.raises(stripe.CardError):
            shop.pay(20_000, method, off_session=True)
    held: Any = {"customer": customer.id, "setup_future_usage": "off_session"}
    held |= {"capture_method": "manual"}
    first, second, third = (shop.pay(20_000, "pm_card_mastercard", **held) for _ in range(3))
    v1.payment_intents.capture(first.id, {"amount_to_capture": 5000})
    v1.payment_intents.cancel(second.id, {"cancellation_reason": "abandoned"})
    asks = shop.pay(20_000, "pm_card_authenticationRequired", return_url="https://example.org/back")
    assert asks.next_action is not None
    price: Any = {"currency": "eur", "unit_amount": 4000, "product_data": {"name": "a ladder"}}
    session = v1.checkout.sessions.create(
        {
            "mode": "payment",
            "success_url": "https://example.org/ok",
            "line_items": [{"price_data": price, "quantity": 2}],
        }
    )
    server.pay_checkout(session.id)
    payee = shop.payee("DE")
    server.top_up(platform, 100_000)
    paid = v1.payment_intents.retrieve(first.id).latest_charge
    assert isinstance(paid, str)
    transfer = shop.transfer(payee, 3000, source_transaction=paid)
    shop.transfer(payee, 3000)
    v1.transfers.reversals.create(transfer.id, {"amount": 1000})
    refund = v1.refunds.create({"charge": paid, "amount": 700, "reason": "requested_by_customer"})
    server.fail_refund(refund.id)
    v1.refunds.create({"charge": paid, "amount": 800})
    server.advance(days=4)
    v1.payouts.create({"amount": 1000, "currency": "eur"})
    failed = v1.payouts.create({"amount": 2000, "currency": "eur"})
    server.fail_payout(failed.id)
    paper = io.BytesIO(b"%PDF-1.7")
    paper.name = "terms.pdf"
    evidence = v1.files.create({"purpose": "dispute_evidence", "file": paper})
    disputes = v1.disputes.list().data
    for dispute in disputes:
        if dispute.status == "needs_response":
            word = "winning_evidence"
            v1.disputes.update(
                dispute.id, {"evidence": {"receipt": evidence.id, "uncategorized_text": word}}
            )
    assert v1.balance_settings.retrieve().payments.payouts is not None
    v1.webhook_endpoints.create(
        {"url": "http://127.0.0.1:9/", "enabled_events": ["charge.succeeded"]}
    )
    server.require(payee, ["individual.id_number"], server.now)
    server.advance(days=10)
    assert v1.payment_intents.retrieve(third.id).cancellation_reason == "automatic"


def read(client: StripeClient, path: str, **options: Any) -> Any:
    """Read a path as bare JSON."""
    answer = client.raw_request("get", path, **options)
    return json.loads(answer.data) if isinstance(answer.data, str) else answer.data


LISTS = {
    "account": "/v1/accounts",
    "balance_transaction": "/v1/balance_transactions",
    "charge": "/v1/charges",
    "checkout.session": "/v1/checkout/sessions",
    "customer": "/v1/customers",
    "dispute": "/v1/disputes",
    "event": "/v1/events",
    "file": "/v1/files",
    "payment_intent": "/v1/payment_intents",
    "payment_method": "/v1/payment_methods",
    "payout": "/v1/payouts",
    "radar.early_fraud_warning": "/v1/radar/early_fraud_warnings",
    "refund": "/v1/refunds",
    "transfer": "/v1/transfers",
    "webhook_endpoint": "/v1/webhook_endpoints",
}


@pytest.mark.parametrize("kind", LISTS)
def test_listed_objects_are_shaped_as_the_package_says(
    lived: tuple[StripeServer, Account, StripeClient], kind: str
) -> None:
    _, _, client = lived
    rows = read(client, f"{LISTS[kind]}?limit=100")["data"]
    assert rows, kind
    assert all(row["object"] == kind for row in rows)
    assert [fault for row in rows for fault in object_faults(row, SERVED[kind], row["id"])] == []


def test_a_connected_accounts_objects_are_shaped_as_the_package_says(
    lived: tuple[StripeServer, Account, StripeClient],
) -> None:
    _, platform, client = lived
    acting = platform.connected[0].id
    wrong: list[str] = []
    for kind in ("balance_transaction", "charge", "event", "payout", "refund"):
        rows = read(client, f"{LISTS[kind]}?limit=100", stripe_account=acting)["data"]
        assert rows, kind
        wrong += [line for row in rows for line in object_faults(row, SERVED[kind], row["id"])]
    assert wrong == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/account", "account"),
        ("/v1/balance", "balance"),
        ("/v1/balance_settings", "balance_settings"),
    ],
)
def test_single_objects_are_shaped_as_the_package_says(
    lived: tuple[StripeServer, Account, StripeClient], path: str, kind: str
) -> None:
    _, _, client = lived
    assert list(object_faults(read(client, path), SERVED[kind], kind)) == []


def test_what_is_only_shown_when_asked_for_is_shaped_as_the_package_says(
    lived: tuple[StripeServer, Account, StripeClient],
) -> None:
    _, platform, client = lived
    wrong: list[str] = []
    asked = {
        "charge": "data.refunds&expand[]=data.payment_intent&expand[]=data.balance_transaction",
        "checkout.session": "data.line_items&expand[]=data.payment_intent.latest_charge",
        "balance_transaction": "data.source",
        "transfer": "data.destination&expand[]=data.destination_payment.balance_transaction",
        "dispute": "data.charge.payment_intent",
    }
    for kind, path in asked.items():
        rows = read(client, f"{LISTS[kind]}?limit=100&expand[]={path}")["data"]
        wrong += [line for row in rows for line in object_faults(row, SERVED[kind], row["id"])]
    for transfer in platform.table("transfer"):
        rows = read(client, f"/v1/transfers/{transfer}/reversals")["data"]
        cls = SERVED["transfer_reversal"]
        wrong += [line for row in rows for line in object_faults(row, cls, row["id"])]
    link = client.v1.account_links.create(
        {
            "account": platform.connected[0].id,
            "type": "account_onboarding",
            "refresh_url": "https://example.org/again",
            "return_url": "https://example.org/back",
        }
    )
    wrong += object_faults(link.to_dict(), stripe.AccountLink, "link")
    assert wrong == []


def test_what_events_carry_is_shaped_as_the_package_says(
    lived: tuple[StripeServer, Account, StripeClient],
) -> None:
    server, platform, _ = lived
    wrong: list[str] = []
    kinds: set[str] = set()
    for account in (platform, *platform.connected):
        for event in server.events(account):
            told = event["data"]["object"]
            kinds.add(event["type"])
            wrong += object_faults(told, SERVED[told["object"]], event["type"])
    assert wrong == []
    assert kinds >= {
        "account.updated",
        "balance.available",
        "capability.updated",
        "charge.captured",
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
        "charge.expired",
        "charge.failed",
        "charge.pending",
        "charge.refunded",
        "charge.succeeded",
        "checkout.session.completed",
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
        "payment_intent.payment_failed",
        "payment_intent.processing",
        "payment_intent.requires_action",
        "payment_intent.succeeded",
        "payout.failed",
        "payout.paid",
        "radar.early_fraud_warning.created",
        "refund.created",
        "refund.failed",
        "transfer.created",
        "transfer.reversed",
    }


def test_the_shape_check_sees_what_is_missing_unknown_or_wrong() -> None:
    refund = {"id": "re_1", "object": "refund", "created": 1, "currency": "eur", "mood": "good"}
    told = list(object_faults({**refund, "reason": "because"}, stripe.Refund, "re"))
    assert [line.split(":")[0] for line in sorted(told)] == ["re.amount", "re.mood", "re.reason"]


def test_the_server_knows_nothing_of_package_stripe() -> None:
    package = importlib.import_module("tests.stripe_server")
    modules = [row.name for row in pkgutil.iter_modules(package.__path__)]
    assert "intents" in modules
    for name in modules:
        module = importlib.import_module(f"tests.stripe_server.{name}")
        owners = {str(getattr(value, "__module__", "")) for value in vars(module).values()}
        assert not any(owner.partition(".")[0] == "stripe" for owner in owners)
