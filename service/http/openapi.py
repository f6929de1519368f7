"""The contract as OpenAPI 3.1: what the framework derives, plus what every operation shares."""

from __future__ import annotations

from typing import Any, Final

import orjson
import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.events.catalogue import TYPES, EventType
from service.events.payloads import message_schema, shared_schemas
from service.exchanges.steps import MACHINES, STEPS
from service.http.problems import MEDIA_TYPE, TITLES, Problem
from service.http.statuses import STATUS

_DESCRIPTION = """\
Hold a payment, confirm on both sides, release it; on books that prove themselves.

* **Amounts** are integers of minor units with a unit: 10.50 EUR is
  `{"amount": 1050, "unit": "EUR"}`.
* **Idempotency-Key** is required wherever something is created or moved. The same request again
  gives the same answer; keys are kept for 30 days.
* **Errors** are problems (RFC 9457) with a stable `code`, and a `pointer` to the field at fault.
* **Lists** are pages: follow `next_cursor`, or the `Link` header.
* **A member's token** lets a member act for themselves; a platform's key acts for the member named
  in `member`. Only the member's own token sees a hand-over code.
"""


#: Which answers lead on to which operations, by the id that they carry.
_LINKS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "propose_exchange": {
        "exchange": (
            "get_exchange",
            "list_confirmations",
            "list_exchange_postings",
            "list_exchange_payments",
            *(step.name for step in STEPS if step.by not in MACHINES),
        )
    },
    "create_member": {
        "member": (
            "get_member",
            "change_member",
            "erase_member",
            "create_member_token",
            "list_member_balances",
            "get_member_statement",
            "set_credit_limit",
            "create_payout",
        )
    },
    "create_api_key": {"api_key": ("get_api_key", "rotate_api_key", "revoke_api_key")},
    "create_payout": {"payment": ("get_payment",)},
}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version="3.1.0",
            description=_DESCRIPTION,
            license_info={"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
            servers=[{"url": "/", "description": "This instance"}],
            routes=app.routes,
        )
        components = found["components"]
        # Our errors are problems; the framework's own shape never leaves the application.
        for unused in ("HTTPValidationError", "ValidationError"):
            components["schemas"].pop(unused, None)
        components["schemas"]["Problem"] = Problem.model_json_schema()
        components["headers"] = {"RequestId": _REQUEST_ID}
        components["responses"] = {f"Problem{status}": _problem(status) for status in TITLES}
        for path in found["paths"].values():
            for operation in path.values():
                _finish(operation)
        components["parameters"] = _WEBHOOK_HEADERS
        components["responses"] |= _WEBHOOK_ANSWERS
        components["schemas"] |= shared_schemas()
        found["webhooks"] = {one.name: _webhook(one) for one in TYPES.values()}
        app.openapi_schema = found
    return app.openapi_schema


_REQUEST_ID: Final = {
    "description": "Quote it when you ask for help.",
    "schema": {"type": "string"},
}
_AT_THE_EDGE: Final = {
    404: ("not_found",),
    405: ("method_not_allowed",),
    422: ("invalid_request",),
    500: ("internal_error",),
    503: ("busy",),
}


def _problem(status: int) -> dict[str, Any]:
    """Describe all problems of one status, by their codes."""
    codes = {kind.code for kind, of in STATUS.items() if of == status}
    codes |= set(_AT_THE_EDGE.get(status, ()))
    return {
        "description": f"{TITLES[status]}. Codes: {', '.join(sorted(codes))}.",
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


_WEBHOOK_HEADERS: Final[dict[str, dict[str, Any]]] = {
    name.title().replace("-", ""): {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }
    for name, description in (
        ("webhook-id", "The event's id: the same when it is sent again."),
        ("webhook-timestamp", "When this was sent, in seconds since 1970."),
        ("webhook-signature", "v1, and the signature, for each secret that is valid now."),
    )
}


_WEBHOOK_ANSWERS: Final = {
    "WebhookTaken": {"description": "Taken; what the answer says is not looked at."},
    "WebhookGone": {"description": "Never again: the endpoint is disabled."},
    "WebhookNotTaken": {"description": "Not taken: it is sent again later."},
}


def _webhook(one: EventType) -> dict[str, Any]:
    """Describe the message that an endpoint is sent about a type of event."""
    content = {"application/json": {"schema": message_schema(one)}}
    return {
        "post": {
            "operationId": f"on_{one.name.replace('.', '_')}",
            "summary": one.meaning,
            "tags": ["Webhooks"],
            "parameters": [
                {"$ref": f"#/components/parameters/{name}"} for name in _WEBHOOK_HEADERS
            ],
            "requestBody": {"required": True, "content": content},
            "responses": {
                status: {"$ref": f"#/components/responses/{name}"}
                for status, name in zip(("2XX", "410", "default"), _WEBHOOK_ANSWERS, strict=True)
            },
        }
    }


def _finish(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "Idempotency-Key":
            parameter["required"] = True
            parameter["schema"] = {
                "type": "string",
                "pattern": "^[!#-~]{1,255}$",
                "minLength": 1,
                "maxLength": 255,
            }
    for status, response in operation["responses"].items():
        if MEDIA_TYPE in response.get("content", {}):
            operation["responses"][status] = {"$ref": f"#/components/responses/Problem{status}"}
            continue
        if response["description"] == "Successful Response":
            response["description"] = f"Done: {operation['summary'].lower()}."
        response["headers"] = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
        links = _LINKS.get(operation["operationId"], {})
        if links and status.startswith("2"):
            response["links"] = {
                f"{target}": {
                    "operationId": target,
                    "parameters": {name: "$response.body#/id"},
                    "description": f"The `id` is the `{name}` of {target}.",
                }
                for name, targets in links.items()
                for target in targets
            }


def as_yaml(app: FastAPI) -> str:
    """Return the document as the text of ``openapi.yaml``."""
    # What is the same object twice would be written as an alias, which few readers know.
    plain = orjson.loads(orjson.dumps(document(app)))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
