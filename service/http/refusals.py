"""What the edge itself refuses, before any use case."""

from __future__ import annotations

from ledger.refusals import Refusal


class BadRequest(Refusal):
    """The request is not well-formed HTTP or JSON."""

    code = "bad_request"


class InvalidBody(Refusal):
    """The JSON is well-formed but holds what no body may: repeated names, numbers out of range."""

    code = "invalid_body"


class InvalidText(Refusal):
    """Text holds a NUL or half of a surrogate pair, which nothing could store or show."""

    code = "invalid_text"


class BodyTooLarge(Refusal):
    """The body is larger than this address takes."""

    code = "body_too_large"


class BodyTooSlow(Refusal):
    """The body takes longer to come than this address waits."""

    code = "body_too_slow"


class WrongMediaType(Refusal):
    """A body must be application/json."""

    code = "wrong_media_type"


class IdempotencyKeyMissing(Refusal):
    """A request that creates or moves something needs an Idempotency-Key."""

    code = "idempotency_key_missing"


class IdempotencyKeyInvalid(Refusal):
    """The Idempotency-Key is not 1 to 255 printable characters."""

    code = "idempotency_key_invalid"


class IdempotencyKeyReused(Refusal):
    """The key came with another request before."""

    code = "idempotency_key_reused"


class IdempotencyKeyInUse(Refusal):
    """The first request with this key is still running."""

    code = "idempotency_key_in_use"


class InvalidCursor(Refusal):
    """The cursor is not one that a page of this list gave."""

    code = "invalid_cursor"


class NotSignedIn(Refusal):
    """No credential, or one that is not known, ended, or for something else."""

    code = "not_signed_in"


class ScopeMissing(Refusal):
    """The credential is known but not allowed to do this."""

    code = "scope_missing"


class RoleMissing(Refusal):
    """The mediator is known but has no role that may do this."""

    code = "role_missing"


class MemberOnly(Refusal):
    """Only a member's own token may see this."""

    code = "member_token_needed"


class NotYourself(Refusal):
    """A member's token acts for that member alone."""

    code = "not_yourself"


class MemberRequired(Refusal):
    """A platform's key acts for a member, who must be named."""

    code = "member_required"


class UnitNotFound(Refusal):
    """The address names a unit that is neither in ISO 4217 nor of the platform."""

    code = "unit_not_found"


class NotFound(Refusal):
    """There is nothing at this address."""

    code = "not_found"
