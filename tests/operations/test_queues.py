"""What waits is read in one statement, with every label of the closed lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import Engine, text

from service.db import SYSTEM, transaction
from service.operations import dead_letters, metrics, queues
from tests.disputes.people import People

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)


def test_every_queue_is_read_and_rendered_for_prometheus(engine: Engine) -> None:
    with transaction(engine, SYSTEM) as connection:
        reading = queues.read(connection, NOW)
    for work in dead_letters.WORKS:
        assert ("tierce_dead_letters_open", work) in reading
    for consumer in ("webhooks", "messages"):
        assert ("tierce_feed_waiting", consumer) in reading
    assert ("tierce_cases_open", "mediation") in reading
    assert ("tierce_cases_waiting", None) in reading
    rendered = metrics.render(queues.registry_of(reading, broker_up=False)).decode()
    assert "tierce_broker_up 0.0" in rendered
    assert 'tierce_processes_alive{kind="worker"}' in rendered
    assert "tierce_timers_oldest_seconds" in rendered
    assert "# TYPE tierce_provider_call_seconds histogram" in rendered


def test_queues_are_read_from_the_heads_of_indexes(engine: Engine) -> None:
    with transaction(engine, SYSTEM) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(
            text(f"EXPLAIN {queues._READ.text}"),
            {
                "now": NOW,
                "most": queues.MOST,
                "works": list(dead_letters.WORKS),
                "stages": queues._STAGES,
            },
        ).scalars()
        lines = "\n".join(plan)
    for index in (
        "ix_timer_due_at",
        "ix_payment_look_again_at",
        "ix_provider_event_try_at",
        "ix_message_due_at",
        "ix_event_tx",
        "uq_payout_stop_standing",
        "ix_reconciliation_difference_open",
    ):
        assert index in lines
    assert "Seq Scan on event" not in lines


def test_a_case_for_which_nobody_is_found_is_counted_with_how_long_it_waits(
    engine: Engine, platform_id: UUID
) -> None:
    people = People(engine, platform_id)
    with transaction(engine, SYSTEM) as connection:
        before = queues.read(connection, NOW)
    mediator = people.join()
    people.opened()
    people.opened(mediator_id=mediator)
    with transaction(engine, SYSTEM) as connection:
        after = queues.read(connection, NOW + timedelta(days=40_000))
    for name, label, more in (
        ("tierce_cases_open", "mediation", 2),
        ("tierce_cases_waiting", None, 1),
    ):
        assert after[name, label] - before[name, label] == more
    assert after["tierce_cases_waiting_seconds", None] >= timedelta(days=40_000).total_seconds()
