"""Member tokens: short-lived ES256 JWTs by which a platform lets a member act for themselves.

RFC 7519; the algorithm is pinned on both sides (RFC 8725 §3.1), the key named by its RFC 7638
thumbprint and published as a JWKS (RFC 7517).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jose import jwt
from jose.exceptions import JWTError

from ledger.refusals import Refusal
from service.ids import decode, encode, uuid7

AUDIENCE: Final = "tierce:member"
LONGEST: Final = timedelta(hours=1)
USUAL: Final = timedelta(minutes=15)
_ALGORITHM: Final = "ES256"


class BadToken(Refusal):
    """The token is not ours, expired, or for something else."""

    code = "invalid_token"


class Signer:
    """Signs and verifies the tokens of one instance."""

    def __init__(self, pem: str, issuer: str) -> None:
        """Take the PEM of a P-256 private key and the instance's public URL.

        Raises:
            ValueError: the key is not a P-256 private key.
        """
        key = load_pem_private_key(pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ValueError("TIERCE_SIGNING_KEY must be the PEM of a P-256 (prime256v1) key.")
        numbers = key.public_key().public_numbers()
        point = {"crv": "P-256", "kty": "EC", "x": _b64(numbers.x), "y": _b64(numbers.y)}
        thumbprint = hashlib.sha256(orjson.dumps(point, option=orjson.OPT_SORT_KEYS)).digest()
        self._kid = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()
        self._public = {**point, "kid": self._kid, "use": "sig", "alg": _ALGORITHM}
        self._pem = pem
        self._issuer = issuer

    @property
    def jwks(self) -> dict[str, Any]:
        """The public half, as a JWK set."""
        return {"keys": [self._public]}

    def issue(
        self, platform_id: UUID, member_id: UUID, now: datetime, life: timedelta = USUAL
    ) -> tuple[str, datetime]:
        """Return a token for ``member_id`` and when it ends (``life``: an hour at most)."""
        return self.sign(
            AUDIENCE,
            {"sub": encode("member", member_id), "platform": encode("platform", platform_id)},
            now,
            life,
        )

    def sign(
        self, audience: str, claims: Mapping[str, str], now: datetime, life: timedelta
    ) -> tuple[str, datetime]:
        """Return a token with these claims for ``audience``, and when it ends (an hour at most)."""
        ends = now + min(life, LONGEST)
        whole = {
            "iss": self._issuer,
            "aud": audience,
            **claims,
            "iat": int(now.timestamp()),
            "exp": int(ends.timestamp()),
            "jti": str(uuid7()),
        }
        token: str = jwt.encode(whole, self._pem, algorithm=_ALGORITHM, headers={"kid": self._kid})
        return token, ends

    def verify(self, token: str, now: datetime) -> tuple[UUID, UUID]:
        """Return the platform and member that a token speaks for.

        Raises:
            BadToken: why is not told apart, so that nothing is learnt by trying.
        """
        claims = self.claims(AUDIENCE, token, now)
        try:
            return decode("platform", claims["platform"]), decode("member", claims["sub"])
        except (KeyError, ValueError, AttributeError) as error:
            raise BadToken("The token is not valid.") from error

    def claims(self, audience: str, token: str, now: datetime) -> dict[str, Any]:
        """Return what a token for ``audience`` says.

        Raises:
            BadToken: why is not told apart, so that nothing is learnt by trying.
        """
        try:
            if jwt.get_unverified_header(token).get("alg") != _ALGORITHM:
                raise BadToken("The token is not valid.")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[_ALGORITHM],
                audience=audience,
                issuer=self._issuer,
                # Checked below against the caller's ``now``.
                options={"verify_exp": False, "require_exp": True, "require_sub": True},
            )
            # The library lets a claim pass that is not there at all.
            if claims["aud"] != audience or claims["iss"] != self._issuer:
                raise BadToken("The token is not valid.")
            ends = datetime.fromtimestamp(claims["exp"], UTC)
        except (JWTError, KeyError, ValueError, TypeError, OverflowError) as error:
            raise BadToken("The token is not valid.") from error
        if now >= ends:
            raise BadToken("The token has expired; ask for a new one.")
        return claims


def _b64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode()
