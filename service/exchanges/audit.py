"""Prove that exchanges and books say the same: what the ledger alone cannot know."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from ledger.audit import Problem

_CHECKS: Final = {
    "ended_exchange_holds_value": """
        SELECT e.platform_id, l.id::text AS subject,
               format('exchange %s has ended as %s, leg is %s', e.id, e.state, l.state) AS detail
        FROM service.exchange e JOIN service.leg l
          ON l.platform_id = e.platform_id AND l.exchange_id = e.id
        WHERE e.closed_at IS NOT NULL AND l.state = 'held'""",
    "hold_differs_from_leg": """
        SELECT l.platform_id, l.id::text AS subject,
               format('leg is %s of %s, its hold has %s', l.state, l.amount + l.payer_fee,
                      coalesce(a.balance, 0)) AS detail
        FROM service.leg l LEFT JOIN ledger.account a
          ON a.platform_id = l.platform_id AND a.path = 'hold:' || l.id AND a.unit = l.unit
        WHERE coalesce(a.balance, 0)
              <> CASE l.state WHEN 'held' THEN l.amount + l.payer_fee ELSE 0 END""",
    "active_exchange_not_held": """
        SELECT e.platform_id, l.id::text AS subject,
               format('exchange %s is %s, leg is open', e.id, e.state) AS detail
        FROM service.exchange e JOIN service.leg l
          ON l.platform_id = e.platform_id AND l.exchange_id = e.id
        WHERE e.state IN ('active', 'in_review', 'completed', 'settled', 'refunded')
          AND l.state = 'open'""",
    "transit_differs_from_payment": """
        SELECT p.platform_id, p.id::text AS subject,
               format('%s is %s, %s in transit', p.kind, p.state, coalesce(a.balance, 0)) AS detail
        FROM service.payment p LEFT JOIN ledger.account a
          ON a.platform_id = p.platform_id AND a.path = 'transit:' || p.id AND a.unit = p.unit
        WHERE coalesce(a.balance, 0)
              <> CASE WHEN p.settled_at IS NOT NULL OR p.kind = 'reversal' THEN 0
                      WHEN p.kind <> 'collect' THEN p.amount
                      -- A block at the bank on which no leg stands: not yet, or not any more.
                      WHEN p.authorised_at IS NOT NULL AND NOT EXISTS (SELECT FROM service.leg l
                        WHERE l.platform_id = p.platform_id AND l.exchange_id = p.exchange_id
                          AND l.collect_id = p.id) THEN p.amount
                      ELSE 0 END""",
    "payment_not_booked": """
        SELECT p.platform_id, p.id::text AS subject, 'collected but not in the books' AS detail
        FROM service.payment p LEFT JOIN ledger.posting b
          ON b.platform_id = p.platform_id AND b.key = 'collect:' || p.id
        WHERE p.kind = 'collect' AND p.capture = 'automatic'
          AND (p.state = 'succeeded') <> (b.id IS NOT NULL)""",
    "block_not_booked": """
        SELECT p.platform_id, p.id::text AS subject,
               format('block is %s, the books differ', p.state) AS detail
        FROM service.payment p LEFT JOIN ledger.posting a
          ON a.platform_id = p.platform_id AND a.key = 'authorise:' || p.id
        LEFT JOIN ledger.posting c
          ON c.platform_id = p.platform_id AND c.key = 'captured:' || p.id
        WHERE p.capture = 'manual' AND ((p.authorised_at IS NOT NULL) <> (a.id IS NOT NULL)
          OR (p.state = 'succeeded') <> (c.id IS NOT NULL))""",
    "blocks_differ": """
        WITH blocked AS (SELECT p.platform_id, p.provider, p.unit, sum(p.amount) AS amount
            FROM service.payment p WHERE p.authorised_at IS NOT NULL AND p.settled_at IS NULL
            GROUP BY 1, 2, 3),
        booked AS (SELECT a.platform_id, split_part(a.path, ':', 2) AS provider, a.unit,
            (SELECT coalesce(sum(t.amount), 0) FROM ledger.transfer t
              WHERE t.platform_id = a.platform_id AND t.debit_account = a.id)
            - (SELECT coalesce(sum(t.amount), 0) FROM ledger.transfer t
              WHERE t.platform_id = a.platform_id AND t.credit_account = a.id) AS amount
            FROM ledger.account a WHERE a.path ~ '^provider[^/]+authorised$')
        SELECT platform_id, provider AS subject,
               format('banks block %s %s, the books say %s', coalesce(p.amount, 0), unit,
                      coalesce(b.amount, 0)) AS detail
        FROM blocked p FULL JOIN booked b USING (platform_id, provider, unit)
        WHERE coalesce(p.amount, 0) <> coalesce(b.amount, 0)""",
    "refunds_miscounted": """
        SELECT c.platform_id, c.id::text AS subject, 'refunds asked differ from the count' AS detail
        FROM service.payment c LEFT JOIN service.payment r
          ON r.platform_id = c.platform_id AND r.collect_id = c.id
          AND r.state NOT IN ('failed', 'canceled') AND r.returned_at IS NULL
        WHERE c.kind = 'collect' GROUP BY c.platform_id, c.id, c.refund_asked
        HAVING c.refund_asked <> coalesce(sum(r.amount), 0)""",
    "reversals_miscounted": """
        SELECT o.platform_id, o.id::text AS subject,
               'reversals asked differ from the count' AS detail
        FROM service.payment o LEFT JOIN service.payment r
          ON r.platform_id = o.platform_id AND r.payout_id = o.id
          AND r.state NOT IN ('failed', 'canceled')
        WHERE o.kind = 'payout' GROUP BY o.platform_id, o.id, o.reversal_asked
        HAVING o.reversal_asked <> coalesce(sum(r.amount), 0)""",
    "reversal_not_booked": """
        SELECT p.platform_id, p.id::text AS subject,
               format('reversal is %s, the books differ', p.state) AS detail
        FROM service.payment p LEFT JOIN ledger.posting b
          ON b.platform_id = p.platform_id AND b.key = 'reversed:' || p.id
        WHERE p.kind = 'reversal' AND (p.state = 'succeeded') <> (b.id IS NOT NULL)""",
    "chargeback_not_booked": """
        WITH taken AS (SELECT platform_id, exchange_id, sum(withdrawn) AS amount
            FROM service.chargeback WHERE kind = 'dispute' GROUP BY 1, 2),
        booked AS (SELECT t.platform_id, substr(b.reference, 10)::uuid AS exchange_id,
            sum(CASE WHEN d.path LIKE 'receivable%' THEN t.amount ELSE -t.amount END) AS amount
            FROM ledger.posting b
            JOIN ledger.transfer t ON t.platform_id = b.platform_id AND t.posting_id = b.id
            JOIN ledger.account d ON d.platform_id = t.platform_id AND d.id = t.debit_account
            WHERE b.kind = 'chargeback' GROUP BY 1, 2)
        SELECT platform_id, exchange_id::text AS subject,
               format('banks took %s, the books say %s', coalesce(k.amount, 0),
                      coalesce(b.amount, 0)) AS detail
        FROM taken k FULL JOIN booked b USING (platform_id, exchange_id)
        WHERE coalesce(k.amount, 0) <> coalesce(b.amount, 0)""",
    "contest_not_marked": """
        SELECT p.platform_id, p.id::text AS subject,
               'contested by a bank and not marked, or the reverse' AS detail
        FROM service.payment p
        WHERE p.kind = 'collect' AND (p.disputed_at IS NOT NULL) <> EXISTS (
          SELECT FROM service.chargeback c WHERE c.platform_id = p.platform_id
            AND c.payment_id = p.id AND c.status IN ('needs_response', 'under_review'))""",
    "surplus_not_given_on": """
        SELECT e.platform_id, e.id::text AS subject,
               format('%s more came back than was missing',
                      ledger.unfloored_balance(a.platform_id, a.id)) AS detail
        FROM ledger.account a JOIN service.exchange e
          ON e.platform_id = a.platform_id AND a.path = 'receivable:' || e.id
        WHERE a.path LIKE 'receivable:%' AND e.closed_at IS NOT NULL
          AND ledger.unfloored_balance(a.platform_id, a.id) > 0
          AND NOT EXISTS (SELECT FROM service.chargeback c WHERE c.platform_id = e.platform_id
            AND c.exchange_id = e.id AND c.closed_at IS NULL)""",
    "frozen_without_reason": """
        SELECT e.platform_id, e.id::text AS subject, 'frozen, and no bank contests it' AS detail
        FROM service.exchange e
        WHERE e.frozen_at IS NOT NULL AND e.closed_at IS NULL AND NOT EXISTS (
          SELECT FROM service.chargeback c WHERE c.platform_id = e.platform_id
            AND c.exchange_id = e.id AND c.closed_at IS NULL)""",
    "open_exchange_without_deadline": """
        SELECT e.platform_id, e.id::text AS subject, format('%s with no timer', e.state) AS detail
        FROM service.exchange e
        WHERE e.closed_at IS NULL AND NOT EXISTS (SELECT FROM service.timer t
          WHERE t.platform_id = e.platform_id AND t.exchange_id = e.id)""",
    "ended_exchange_with_deadline": """
        SELECT e.platform_id, e.id::text AS subject, format('%s with a timer', e.state) AS detail
        FROM service.timer t JOIN service.exchange e
          ON e.platform_id = t.platform_id AND e.id = t.exchange_id
        WHERE e.closed_at IS NOT NULL""",
    "events_have_a_gap": """
        SELECT e.platform_id, e.id::text AS subject,
               format('%s events counted, %s there', e.event_sequence, count(v.id)) AS detail
        FROM service.exchange e LEFT JOIN service.event v
          ON v.platform_id = e.platform_id AND v.exchange_id = e.id
        GROUP BY e.platform_id, e.id, e.event_sequence
        HAVING count(v.id) <> e.event_sequence""",
    "met_without_both_words": """
        SELECT c.platform_id, c.exchange_id::text AS subject,
               format('%s was met without both confirmations', c.name) AS detail
        FROM service.checkpoint c
        WHERE c.met_at IS NOT NULL AND c.case_id IS NULL
          AND (SELECT count(DISTINCT f.role) FROM service.confirmation f
          WHERE f.platform_id = c.platform_id AND f.exchange_id = c.exchange_id
            AND f.checkpoint = c.name AND f.word = 'confirmed') < 2""",
}

#: A broken instance may have millions of problems; the first of each kind tell enough.
MOST_OF_A_KIND: Final = 100


def audit(connection: Connection, platform_id: UUID | None) -> list[Problem]:
    """Return every contradiction between exchanges, payments, events, timers and the books.

    ``platform_id`` None looks at all platforms (in a transaction of the system's scope).
    """
    found = []
    for check, query in _CHECKS.items():
        scoped = text(
            f"SELECT * FROM ({query}) AS problem "  # noqa: S608 - our own constants
            "WHERE CAST(:platform_id AS uuid) IS NULL OR platform_id = :platform_id LIMIT :most"
        )
        values = {"platform_id": platform_id, "most": MOST_OF_A_KIND}
        found += [
            Problem(check, row.platform_id, row.subject, row.detail)
            for row in connection.execute(scoped, values)
        ]
    return found
