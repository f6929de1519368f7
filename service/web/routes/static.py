"""Style and script, by names that hold their content."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from service.http.refusals import NotFound
from service.web import assets

router = APIRouter(prefix="/static", include_in_schema=False)


@router.get("/{name}", operation_id="get_static")
async def get_static(name: str) -> Response:
    """Return a file of the pages."""
    found = assets.find(name)
    if found is None:
        raise NotFound("There is nothing at this address.")
    return Response(found.body, 200, assets.HEADERS, found.media_type)
