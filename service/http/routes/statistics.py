"""How disputes go, for everybody: as JSON, and as a page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, Response

from disputes.figures import FEWEST
from service import clock, db
from service.http.edge import edge_of, json_response
from service.http.jsonbody import StrictRoute
from service.http.problems import documented
from service.http.schemas.statistics import StatisticsOut
from service.records import statistics

router = APIRouter(tags=["Statistics"], route_class=StrictRoute)

Quarter = Annotated[
    str | None,
    Query(
        pattern=r"^[0-9]{4}-Q[1-4]$",
        description="One that is over, in UTC; the last if not given.",
        examples=["2027-Q1"],
    ),
]


@router.get(
    "/v1/statistics/disputes",
    operation_id="get_dispute_statistics",
    summary="How disputes went",
    response_model=StatisticsOut,
    responses=documented(409),
)
async def get_dispute_statistics(request: Request, quarter: Quarter = None) -> Response:
    """Counts, shares and medians of a quarter on all live platforms. Open to everybody.

    What is small enough to point at somebody is withheld. What was told of a quarter stays.
    """
    found = await edge_of(request).run(
        db.SYSTEM, lambda c: statistics.published(c, quarter, clock.now())
    )
    of = found.quarter
    body = {
        "object": "dispute_statistics",
        "quarter": of.name,
        "since": of.since,
        "until": of.until,
        "withheld_below": FEWEST,
        **found.figures,
    }
    return json_response(body, headers={"Cache-Control": "public, max-age=3600"})


@router.get("/statistics", operation_id="show_dispute_statistics", include_in_schema=False)
async def show_dispute_statistics(request: Request, quarter: Quarter = None) -> Response:
    """Show the same to people, in the language of their browser."""
    found = await edge_of(request).run(
        db.SYSTEM, lambda c: statistics.published(c, quarter, clock.now())
    )
    language = statistics.preferred(request.headers.get("accept-language", ""))
    return HTMLResponse(statistics.page(found, language), headers=statistics.HEADERS)
