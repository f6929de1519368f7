"""Uploaded files."""

from __future__ import annotations

from tests.stripe_server.errors import Obj
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.params import PAGE, Need, Spec, choice, created, text, upload
from tests.stripe_server.routes import Call, Route


def create(call: Call) -> Obj:
    """Keep an uploaded file."""
    world, sent = call.world, call.params["file"]
    ref = world.new_id("file")
    file: Obj = {
        "id": ref,
        "object": "file",
        "created": world.ts,
        "expires_at": None,
        "filename": sent.filename,
        "links": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/file_links?file={ref}",
        },
        "purpose": call.params["purpose"],
        "size": len(sent.content),
        "title": None,
        "type": sent.filename.rpartition(".")[2] or None,
        "url": f"{world.url}/v1/files/{ref}/contents",
        "_content": sent.content,
    }
    call.account.add(file)
    emit(call.account, "file.created", file)
    return file


_CREATE: Spec = {
    "file": Need(upload),
    "purpose": Need(choice("dispute_evidence", "identity_document", "account_requirement")),
}

_LIST: Spec = {**PAGE, "created": created, "purpose": text}


def list_files(call: Call) -> Obj:
    """List files, newest first."""
    return listed(call, "file", equal=("purpose",))


ROUTES = [
    Route("POST", "/v1/files", create, _CREATE),
    Route(
        "GET",
        "/v1/files",
        lambda call: listed(call, "file", equal=("purpose",)),
        {**PAGE, "created": created, "purpose": text},
    ),
    Route("GET", "/v1/files/{id}", one("file"), {}),
]
