"""What checks the body of a webhook against the application's contract."""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs

from service.app import create_app
from service.http.openapi import document

DOCUMENT: Final[dict[str, Any]] = document(create_app())


def validator(type_: str) -> Any:
    """Return what checks the body of a webhook about a type of event."""
    operation = DOCUMENT["webhooks"][type_]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": {"schemas": DOCUMENT["components"]["schemas"]}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
