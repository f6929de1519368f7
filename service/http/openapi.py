"""The contract as OpenAPI 3.1: what the framework derives, plus what every operation shares."""

from __future__ import annotations

from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.http.problems import Problem

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
        schemas = found["components"]["schemas"]
        # Our errors are problems; the framework's own shape never leaves the application.
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = Problem.model_json_schema()
        for path in found["paths"].values():
            for operation in path.values():
                _finish(operation)
        app.openapi_schema = found
    return app.openapi_schema


def _finish(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "Idempotency-Key":
            parameter["required"] = True
            parameter["schema"] = {"type": "string", "minLength": 1, "maxLength": 257}
    for status, response in operation["responses"].items():
        response.setdefault("headers", {})["X-Request-Id"] = {
            "description": "Quote it when you ask for help.",
            "schema": {"type": "string"},
        }
        if status == "422" and "application/json" in response.get("content", {}):
            del response["content"]["application/json"]


def as_yaml(app: FastAPI) -> str:
    """Return the document as the text of ``openapi.yaml``."""
    return yaml.safe_dump(document(app), sort_keys=False, allow_unicode=True, width=100)
