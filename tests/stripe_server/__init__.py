"""A server shaped like Stripe for tests: real HTTP, real rules, a clock and faults in the test's
hand.

It says what the real one says (API 2026-10-28.endive) about the objects that this project uses,
and refuses what the real one refuses. It knows nothing of this project, and nothing of package
`stripe`. Point the real client at it::

    with StripeServer() as server:                 # now=datetime(..., tzinfo=UTC) fixes the clock
        platform = server.add_account("sk_test_x")  # country="FR", payout_interval="manual"
        client = StripeClient(
            "sk_test_x",
            base_addresses={"api": server.url, "files": server.url},
            max_network_retries=0,
        )
        intent = client.v1.payment_intents.create(
            {"amount": 1000, "currency": "eur", "allowed_payment_method_types": ["card"],
             "payment_method": "pm_card_visa", "confirm": True},
            {"idempotency_key": "k1"},
        )

`stop()` (and leaving the `with`) fails the test if anything broke inside or if an account's
balance is not the sum of its balance transactions; `server.check()` asks the same at any time.

Clock. `server.now` starts at the wall clock (or `now=`) and stands still.
`server.advance(days=2)` or `server.now = later` moves it; what is due happens on the way, each at
its own instant: funds become available (2 days), direct debits end (5 days), authorisations
expire, sessions expire, payouts of connected accounts run (midnight UTC, daily; arrive after 2
days), unanswered disputes are lost (7 days).

Payers. `TEST_METHODS` in `methods.py` lists the test payment methods (`pm_card_visa`,
`pm_card_visa_chargeDeclined`, `pm_card_authenticationRequired`, `pm_card_bypassPending`,
`pm_sepaDebit_ok`, `pm_card_createDispute`, ...). Naming one makes a payment method of its own.
What follows a payment (dispute, inquiry, warning) comes one second later: `advance(seconds=1)`; a
disputed direct debit one day later, lost at once. The payer acts by `act(intent, succeed=True)`
(3-D Secure) and `pay_checkout(session, "pm_card_visa")`. A declined hosted payment leaves the
session open.

Banks. `dispute(charge_or_intent, amount, reason, inquiry)`, `escalate`, `close_dispute(id,
won=True, amount=part)`, `warn`, `fail_refund`, `fail_payout`. Evidence text with
`winning_evidence` or `losing_evidence` decides on submit.

Payees. `complete_onboarding(acct)`, `require(acct, fields, deadline)`, `disable(acct, reason)`,
`open_link(url)` (once, within 5 minutes).

Books. A card costs 1.5 % + 25, a direct debit 35, a dispute 2000 minor units (`server.fees`). A
refund needs *available* balance: short, a card's stays `pending` until funds arrive and a direct
debit's fails. Use `pm_card_bypassPending`, `advance(days=2)` or `top_up(account, amount)`.
Transfers need available balance too, unless they name a `source_transaction`. `balance(account)`
is (available, pending). An authorisation that is set free (cancelled, expired, or the rest of a
partial capture) shows as a refund without balance transaction, as at Stripe.

As since API 2026-09-30, `payment_method_types` cannot be set (400): name
`allowed_payment_method_types`, or nothing. The default `capture_method` is `automatic_async`: the
payment has succeeded, but its charge has no `balance_transaction` (and the balance no funds) until
`charge.updated`, one second later; `automatic` books at once. With automatic payment methods a
confirmation needs a `return_url` unless `allow_redirects` is `never`.

Webhooks. `add_endpoint(account, url, secret, connect=False, extra_secrets=())`; nothing is sent
until `deliver(order="fifo"|"lifo"|"random", duplicate=.1, drop=.1, delay=.1, rng=Random(1))`,
which returns (event, status) of each try. Failed ones wait for the next call. Set
`server.on_event` to a function (endpoint, body, signature) -> status to receive without HTTP.
Signatures carry the server's clock. `signed(event_or_bytes, secret, at)` forges one by hand.
`events(account, "charge.*")` lists what was told; `/v1/events` keeps 30 days. A connected
account's events are its own: listed with `Stripe-Account`, delivered to `connect=True` endpoints
only.

Faults. `fault("/v1/transfers", kind, times=1, skip=0, method="POST")`, kinds: `before` (nothing
done, connection closed), `after` (done, connection closed), `500` (nothing done; kept under the
key), `500_after` (done), `429`, `timeout` (hangs with its key in use, then is done),
`timeout_after`; `release()` lets what hangs go on. `server.requests` logs (method, path, params,
idempotency_key, account).

Idempotency is Stripe's v1: the first answer is kept for 24 hours of the clock once work began
(declines, `balance_insufficient` and 500s too) and said again with `Idempotent-Replayed: true`;
wrong parameters and unknown objects are not kept; other parameters under a key are 400, a key in
use is 409.

As at Stripe some attributes are absent rather than null: `account` of a platform's own event,
`failure_reason`, `failure_balance_transaction` and `pending_reason` of a refund without them,
`refunds` of a charge and `line_items` of a session unless expanded, `capture_before` of what is
not an open authorisation, `payment_method_details` of a direct debit's dispute.
"""

from tests.stripe_server.server import StripeServer
from tests.stripe_server.store import Account
from tests.stripe_server.webhooks import Endpoint

__all__ = ["Account", "Endpoint", "StripeServer"]
