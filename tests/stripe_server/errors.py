"""Refusals, with the bodies that Stripe gives them."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]


class ApiError(Exception):
    """One refusal. ``executed``: the work had begun, so an idempotency key keeps this answer."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        executed: bool = False,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.headers = headers or {}
        self.error: Obj = {"type": kind, "message": message}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            self.error["param"] = param
        self.error |= {name: value for name, value in more.items() if value is not None}


def invalid(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    """A parameter is wrong: found before anything was done, not kept under a key."""
    return ApiError(400, "invalid_request_error", message, code=code, param=param)


def refused(
    message: str, code: str | None = None, param: str | None = None, **more: Any
) -> ApiError:
    """The state of things does not allow it: found while executing, kept under a key."""
    return ApiError(
        400, "invalid_request_error", message, code=code, param=param, executed=True, **more
    )


def missing(what: str, ref: str, param: str, status: int = 404) -> ApiError:
    """There is no such object (of this account)."""
    message = f"No such {what.replace('_', ' ').replace('.', ' ')}: '{ref}'"
    return ApiError(status, "invalid_request_error", message, code="resource_missing", param=param)


def declined(code: str, decline_code: str | None, message: str, **more: Any) -> ApiError:
    """The payer's bank said no."""
    return ApiError(
        402, "card_error", message, code=code, decline_code=decline_code, executed=True, **more
    )
