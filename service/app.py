"""The application: its routers, handlers and middleware, in one visible list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from service import clock, db
from service.config import Settings
from service.config import settings as environment
from service.exchanges.desk import make_desk
from service.exchanges.proofs import Prover
from service.files import files_of
from service.http import openapi, problems
from service.http.beating import beat
from service.http.direct import Application
from service.http.edge import Edge as RouteEdge
from service.http.lanes import Lanes
from service.http.limits import Limits
from service.http.middleware import Edge
from service.http.routes import (
    books,
    cases,
    chargebacks,
    claims,
    events,
    evidence,
    exchanges,
    health,
    helpers,
    mailbox,
    mediation,
    mediation_cases,
    mediation_own,
    mediator_pools,
    mediator_ties,
    mediators,
    members,
    messages,
    operations,
    pauses,
    payees,
    payments,
    platforms,
    precedents,
    providers,
    reconciliation,
    records,
    returns,
    sandbox,
    statistics,
    steps,
    webhook_deliveries,
    webhook_endpoints,
    webhooks,
)
from service.log import configure
from service.operations.outages import process_name
from service.platforms.tokens import Signer
from service.wake import DELIVER, SWEEP, Waker
from service.web.mishaps import Mishaps
from service.web.routes import desk_again as desk_again_pages
from service.web.routes import desk_case as desk_case_pages
from service.web.routes import desk_decided as desk_decided_pages
from service.web.routes import desk_door as desk_door_pages
from service.web.routes import desk_profile as desk_profile_pages
from service.web.routes import desk_queue as desk_queue_pages
from service.web.routes import desk_reviews as desk_reviews_pages
from service.web.routes import desk_steps as desk_steps_pages
from service.web.routes import desk_templates as desk_templates_pages
from service.web.routes import desk_ties as desk_ties_pages
from service.web.routes import handover as handover_pages
from service.web.routes import helpers as helper_pages
from service.web.routes import landing as landing_pages
from service.web.routes import member as member_pages
from service.web.routes import office as office_pages
from service.web.routes import office_counter, office_exchanges, office_machines, office_people
from service.web.routes import pay as pay_pages
from service.web.routes import problem as problem_pages
from service.web.routes import receipts as receipt_pages
from service.web.routes import sandbox as sandbox_pages
from service.web.routes import static as static_pages

VERSION = "0.1.0"

ROUTERS = (
    exchanges.router,
    steps.router,
    claims.router,
    cases.router,
    payments.router,
    chargebacks.router,
    returns.router,
    members.router,
    pauses.router,
    helpers.router,
    payees.router,
    books.router,
    reconciliation.router,
    events.router,
    messages.router,
    mailbox.router,
    sandbox.router,
    platforms.router,
    providers.router,
    webhooks.router,
    webhook_endpoints.router,
    webhook_deliveries.router,
    records.router,
    precedents.router,
    statistics.router,
    evidence.router,
    mediation.router,
    mediation_cases.router,
    mediation_own.router,
    mediators.router,
    mediator_pools.router,
    mediator_ties.router,
    operations.router,
    health.router,
    static_pages.router,
    landing_pages.router,
    member_pages.router,
    helper_pages.router,
    handover_pages.router,
    pay_pages.router,
    problem_pages.router,
    receipt_pages.router,
    sandbox_pages.router,
    desk_door_pages.router,
    desk_queue_pages.router,
    desk_reviews_pages.router,
    desk_case_pages.router,
    desk_steps_pages.router,
    desk_again_pages.router,
    desk_ties_pages.router,
    desk_decided_pages.router,
    desk_profile_pages.router,
    desk_templates_pages.router,
    desk_door_pages.nowhere,
    office_pages.router,
    office_counter.router,
    office_exchanges.router,
    office_people.router,
    office_machines.router,
)


def limits_of(chosen: Settings) -> Limits:
    """Return the limits that the settings give to a process."""
    return Limits(
        chosen.redis_url,
        wrong_keys=chosen.wrong_keys_per_minute,
        by_member=chosen.member_requests_per_minute,
        by_platform=chosen.platform_requests_per_minute,
    )


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application.

    Raises:
        ValueError: at start, when the database, the signing key or the code key is not given.
    """
    chosen = settings or environment()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure(chosen.log_level, as_json=chosen.log_json)
        url, signing_key, code_key = chosen.database_url, chosen.signing_key, chosen.code_key
        if url is None or signing_key is None or code_key is None:
            raise ValueError(
                "TIERCE_DATABASE_URL, TIERCE_SIGNING_KEY and TIERCE_CODE_KEY must be set; "
                "`tierce up` makes all three."
            )
        engine = db.create_async_engine(url, chosen.pool_size)
        # Provider calls run in threads, with connections of their own.
        sync_engine = db.create_engine(url, max(2, chosen.pool_size // 2))
        desk = make_desk(
            sync_engine, code_key.get_secret_value(), clock.now, chosen.stripe_api_base
        )
        signer = Signer(signing_key.get_secret_value(), chosen.public_url)
        waker = Waker(chosen.redis_url)
        limits = limits_of(chosen)
        # Half of the connections stay for what reads, and for what goes alone.
        lanes = Lanes(engine, max(1, chosen.pool_size // 2))
        app.state.edge = RouteEdge(
            chosen,
            engine,
            desk,
            desk.codes,
            signer,
            Prover(signing_key.get_secret_value()),
            files_of(chosen),
            partial(waker.wake, SWEEP, DELIVER),
            limits,
            lanes,
        )
        beating = asyncio.create_task(beat(engine, process_name("api")))
        yield
        await lanes.close()
        beating.cancel()
        await asyncio.wait({beating})
        waker.close()
        await limits.close()
        await engine.dispose()
        sync_engine.dispose()

    app = Application(
        title="Tierce",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    edge = partial(
        Edge,
        max_body_bytes=chosen.max_body_bytes,
        max_file_bytes=chosen.max_file_bytes,
        body_seconds=chosen.body_seconds,
        file_seconds=chosen.file_seconds,
    )
    app.add_middleware(edge)
    app.add_middleware(Mishaps)
    app.shorten(ROUTERS, edge)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return app
