"""Send what is due: claim, write, hand to a channel, record what came of it.

Claimed rows are ``sending`` under a lease, so that several workers share them and what a dead one
left is tried again. The channel is called outside of any transaction; a mail that went out before
its worker died goes out a second time under the same Message-ID.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, RowMapping, text

from service import db
from service.exchanges import queries
from service.exchanges.case_reminders import still_waits
from service.exchanges.desk import at_once
from service.ids import encode
from service.messages import addresses, bounces, case_facts, facts, helper_facts, links
from service.messages.channels import Channels
from service.messages.compose import Recipient, Written, compose
from service.messages.moot import is_moot
from service.messages.port import Envelope, Fate, Outcome
from service.messages.rules import Category
from service.operations import dead_letters, metrics
from service.platforms import clocks, helpers, members, platforms
from service.policies.decent import next_decent

_log = structlog.get_logger(__name__)

#: How many messages one claim takes, and how many claims one round makes.
BATCH: Final = 10
ROUNDS: Final = 20
#: Longer than sending a batch can take, to the slowest server that still answers: nobody else tries
#: meanwhile.
LEASE: Final = timedelta(minutes=10)
#: How long to wait after each attempt that may yet work; after the last it has failed.
LADDER: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 720, 1440))
#: What stands in a stored text where a member's own message has the token of their link.
_UNSENT: Final = "~"

_CLAIM: Final = text(
    """
    UPDATE service.message AS m
    SET state = 'sending', due_at = :until, attempts = m.attempts + 1
    FROM (SELECT platform_id, id FROM service.message WHERE due_at <= :now
          AND (CAST(:only AS uuid) IS NULL OR platform_id = :only)
          ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS due
    WHERE m.platform_id = due.platform_id AND m.id = due.id
    RETURNING m.*
    """
)
# Whoever took the message after this one's lease was over has the say.
_RECORD: Final = text(
    "UPDATE service.message AS m SET state = :state, channel = :channel, due_at = :due_at, "
    "sent_at = :sent_at, attempts = :attempts, reason = CASE WHEN p.erased_at IS NOT NULL "
    "AND CAST(:reason AS text) IS NOT NULL THEN 'erased' ELSE :reason END "
    "FROM service.member AS p WHERE p.platform_id = m.platform_id AND p.id = m.member_id "
    "AND m.platform_id = :platform_id AND m.id = :id AND m.state = 'sending' "
    "AND m.attempts = :taken"
)
_STORED: Final = text(
    "SELECT subject, plain, html FROM service.message_text "
    "WHERE platform_id = :platform_id AND message_id = :id"
)
_SENT_TO: Final = text(
    "UPDATE service.message_text SET recipient = :recipient "
    "WHERE platform_id = :platform_id AND message_id = :id AND recipient <> :recipient"
)
_STORE: Final = text(
    "INSERT INTO service.message_text "
    "(platform_id, message_id, member_id, recipient, subject, plain, html) "
    "VALUES (:platform_id, :id, :member_id, :recipient, :subject, :plain, :html) "
    "ON CONFLICT (platform_id, message_id) DO UPDATE SET recipient = EXCLUDED.recipient, "
    "subject = EXCLUDED.subject, plain = EXCLUDED.plain, html = EXCLUDED.html"
)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message written and addressed, to be handed to a channel."""

    channel: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class _Stop:
    """A message that does not go now: for a reason, or held until an instant."""

    state: str
    reason: str | None = None
    due_at: datetime | None = None


def run(engine: Engine, channels: Channels, now: datetime, only: UUID | None = None) -> int:
    """Send what is due, of one platform or of all; return how many messages were tried."""
    tried = 0
    for _ in range(ROUNDS):
        with db.transaction(engine, db.SYSTEM) as connection:
            values = {"now": now, "until": now + LEASE, "limit": BATCH, "only": only}
            claimed = connection.execute(_CLAIM, values).mappings().all()
        tried += sum(at_once(partial(_one, engine, channels, now), claimed))
        if len(claimed) < BATCH:
            break
    return tried


def _one(engine: Engine, channels: Channels, now: datetime, message: RowMapping) -> int:
    platform_id = message["platform_id"]
    try:
        with db.transaction(engine, platform_id) as connection:
            ready = _prepare(connection, channels, message, now)
            if isinstance(ready, _Stop):
                _record(connection, message, ready.state, now, ready.reason, due_at=ready.due_at)
                return 0
        db.outside_transaction()
        channel = channels.mailbox if ready.channel == "mailbox" else channels.real[ready.channel]
        outcome = channel.send(ready.envelope)
        with db.transaction(engine, platform_id) as connection:
            _conclude(connection, message, ready, outcome, now)
        metrics.messages.labels(ready.channel, outcome.fate.value).inc()
    except Exception as error:  # whatever it is, it must not keep the others waiting
        _log.error("message_failed", message=str(message["id"]), exc_info=error)
        if not dead_letters.is_passing(error):  # else it is tried again when its lease is over
            _bury(engine, message, error, now)
    return 1


def _bury(engine: Engine, message: RowMapping, error: Exception, now: datetime) -> None:
    """A message that cannot even be written is no matter of time: somebody has to look."""
    with db.transaction(engine, db.SYSTEM) as connection:
        _record(connection, message, "failed", now, "cannot be written")
        subject = {"message": encode("message", message["id"])}
        dead_letters.record(
            connection, message["platform_id"], "message", subject, error, now, message["attempts"]
        )


def _prepare(
    connection: Connection, channels: Channels, message: RowMapping, now: datetime
) -> _Ready | _Stop:
    platform_id, member_id = message["platform_id"], message["member_id"]
    member = members.find(connection, platform_id, member_id)
    if member.erased_at is not None:
        return _Stop("suppressed", "erased")
    platform = platforms.find(connection, platform_id)
    # A sandbox's clock jumps over days: there, what would have been sent on the way is shown.
    if platform.mode == "live" and _is_over(connection, message, now):
        return _Stop("suppressed", "over")
    helper_id = message["helper_id"]
    if helper_id is None:
        recipient, values = facts.variables(
            connection, platform_id, member_id, message["exchange_id"], message["facts"]
        )
    else:
        at = clocks.now_at(connection, platform_id, now)
        named = helper_facts.variables(connection, platform_id, helper_id, at)
        if named is None:
            return _Stop("suppressed", "over")
        recipient, values = named
    way = _way(connection, channels, message, recipient, sandbox=platform.mode == "sandbox")
    if isinstance(way, _Stop):
        return way
    channel, address = way
    if channel != "mailbox" and not message["urgent"]:
        decent = next_decent(now, member.time_zone, member.country)
        if decent > now:
            return _Stop("held", due_at=decent)
    written = _written(connection, channels, message, recipient, values, channel, address, now)
    reference = f"{encode('message', message['id'])}.{message['resends']}"
    return _Ready(channel, Envelope(reference, address, recipient, platform.name, written))


def _is_over(connection: Connection, message: RowMapping, now: datetime) -> bool:
    if message["exchange_id"] is None:
        return False
    exchange = queries.find(connection, message["platform_id"], message["exchange_id"])
    if message["template"] == "case_reminder":
        told, side = message["facts"], exchange.role_of(message["member_id"])
        case_id = case_facts.case_id_of(told)
        assert side is not None
        assert case_id is not None
        return not still_waits(
            connection, message["platform_id"], case_id, side, told["about"], now
        )
    return is_moot(exchange, message["member_id"], message["template"], message["facts"])


def _way(
    connection: Connection,
    channels: Channels,
    message: RowMapping,
    recipient: Recipient,
    *,
    sandbox: bool,
) -> tuple[str, str] | _Stop:
    """Return the channel and the address, or why there is none."""
    key = (message["platform_id"], message["member_id"])
    helped = message["helper_id"] is not None  # what the member chose for themselves is theirs
    preferred = addresses.CHANNELS[0]
    if not helped:
        preferred = addresses.preference(connection, *key).of(Category(message["category"]))
    if preferred == "none":
        return _Stop("suppressed", "switched_off")
    order = [preferred, *(one for one in addresses.CHANNELS if one != preferred)]
    known = [(one, at) for one in order if (at := addresses.address_of(recipient, one))]
    if not known:
        return _Stop("suppressed", "no_address")
    bad = {} if helped else addresses.bad(connection, *key)
    good = [(one, at) for one, at in known if bad.get(one) != addresses.fingerprint(at)]
    if not good:
        # Nobody chose this: whoever is reminded there was not reached, and is not held to it.
        return _Stop("failed", "address_bounced")
    # Nobody who exists only in a sandbox is ever written to, whatever address they were given.
    if not sandbox:
        usable = [line for line in good if line[0] in channels.real]
        if usable:
            return usable[0]
        if not channels.development:
            return _Stop("suppressed", "no_channel")
    return "mailbox", good[0][1]


def _written(
    connection: Connection,
    channels: Channels,
    message: RowMapping,
    recipient: Recipient,
    values: dict[str, Any],
    channel: str,
    address: str,
    now: datetime,
) -> Written:
    """Return the text: as it was at the first attempt, with a link of its own at each."""
    key = {"platform_id": message["platform_id"], "id": message["id"]}
    linked = message["exchange_id"] is not None or message["helper_id"] is not None
    mark = f"{channels.public_url}/l/{_UNSENT}" if linked else None
    stored = connection.execute(_STORED, key).one_or_none()
    if stored is None:
        kept = compose(message["template"], recipient.locale, values, mark)
    else:
        kept = Written(stored.subject, stored.plain, stored.html)
        connection.execute(_SENT_TO, {**key, "recipient": address})
    written = (
        kept if mark is None else kept.with_link(mark, _link(connection, channels, message, now))
    )
    if stored is None:
        # What went to the mailbox is read there, link and all; what went to a person, without it.
        shown = written if channel == "mailbox" else kept
        connection.execute(
            _STORE,
            {
                **key,
                "member_id": message["member_id"],
                "recipient": address,
                "subject": shown.subject,
                "plain": shown.plain,
                "html": shown.html,
            },
        )
    return written


def _link(connection: Connection, channels: Channels, message: RowMapping, now: datetime) -> str:
    platform_id, exchange_id = message["platform_id"], message["exchange_id"]
    if message["helper_id"] is not None:
        helper = helpers.find(connection, platform_id, message["helper_id"])
        at = clocks.now_at(connection, platform_id, now)
        return links.make_for_helper(connection, helper, None, at, public_url=channels.public_url)
    exchange = queries.find(connection, platform_id, exchange_id)
    return links.make(
        connection,
        platform_id,
        message["member_id"],
        exchange_id,
        message["template"],
        clocks.now_at(connection, platform_id, now),
        public_url=channels.public_url,
        until=facts.due_at(exchange, message["facts"]),
    )


def _conclude(
    connection: Connection, message: RowMapping, ready: _Ready, outcome: Outcome, now: datetime
) -> None:
    if outcome.fate is Fate.SENT:
        _record(connection, message, "sent", now, channel=ready.channel)
    elif outcome.fate is Fate.LATER:
        tried = message["attempts"]
        if tried > len(LADDER):
            _record(connection, message, "failed", now, outcome.reason, channel=ready.channel)
            return
        due_at = now + LADDER[tried - 1]
        _record(
            connection,
            message,
            "waiting",
            now,
            outcome.reason,
            due_at=due_at,
            channel=ready.channel,
        )
    else:
        _record(connection, message, "bounced", now, outcome.reason, channel=ready.channel)
        at = clocks.now_at(connection, message["platform_id"], now)
        bounces.tell(connection, message, outcome.reason or "refused", at)
        if outcome.bad_address and message["helper_id"] is None:
            addresses.mark_bad(
                connection,
                message["platform_id"],
                message["member_id"],
                ready.channel,
                outcome.reason or "refused",
                now,
                ready.envelope.address,
            )


def _record(
    connection: Connection,
    message: RowMapping,
    state: str,
    now: datetime,
    reason: str | None = None,
    *,
    due_at: datetime | None = None,
    channel: str | None = None,
) -> None:
    connection.execute(
        _RECORD,
        {
            "platform_id": message["platform_id"],
            "id": message["id"],
            "state": state,
            "reason": reason,
            "channel": channel,
            "due_at": due_at,
            "sent_at": now if state == "sent" else None,
            # Waiting for a decent hour is no attempt.
            "attempts": message["attempts"] - (1 if state == "held" else 0),
            "taken": message["attempts"],
        },
    )
