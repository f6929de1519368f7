"""Proofs of a hand-over: what a square holds, so that a phone can check it without any network.

A proof says: whoever holds the code of this checkpoint showed it. It is signed by the instance
(ES256 as WebCrypto has it: P-256, SHA-256, r and s side by side, FIPS 186-5 §6.4), so nobody makes
one who has not seen it, and everybody checks it who has the public key. It is bound to one
exchange, one checkpoint of it, the side that shows it, and the generation of the code: what
renews or ends the code ends its proofs, and the checkpoint is met once.

Twenty-four bytes before the signature, all numbers big-endian: version 1; the exchange's UUID;
the checkpoint's position; the code's generation; 0 where the payer shows it, 1 where the payee
does; when it ends, in Unix seconds (four bytes). As text all 88 are base64url without padding.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ledger.refusals import Refusal
from service.exchanges.deadlines import refund_at
from service.exchanges.kinds import Role, shows_code
from service.exchanges.model import Exchange

_LAYOUT: Final = struct.Struct(">B16sBBBI")
_VERSION: Final = 1
#: Stands before what is signed, so that no other signature of the key passes for a proof's.
_PURPOSE: Final = b"tierce hand-over\x00"
_HALF: Final = 32
_SHOWN_BY: Final = (Role.PAYER, Role.PAYEE)
# Deterministic (RFC 6979): shown again, the square is the same.
_ALGORITHM: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_CHECK: Final = ec.ECDSA(hashes.SHA256())


class ProofInvalid(Refusal):
    """It is no proof of ours, or of another exchange."""

    code = "proof_invalid"


class ProofOutdated(Refusal):
    """It was a proof: its code was renewed, its checkpoint is another, or it has ended."""

    code = "proof_outdated"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof says."""

    exchange_id: UUID
    position: int
    generation: int
    shown_by: Role
    ends_at: datetime


class Prover:
    """Signs and checks the proofs of one instance."""

    def __init__(self, pem: str) -> None:
        """Take the PEM of a P-256 private key.

        Raises:
            ValueError: it is none.
        """
        key = load_pem_private_key(pem.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ValueError("TIERCE_SIGNING_KEY must be the PEM of a P-256 (prime256v1) key.")
        self._key = key
        numbers = key.public_key().public_numbers()
        self._public = {"kty": "EC", "crv": "P-256", "x": _b64(numbers.x), "y": _b64(numbers.y)}

    @property
    def public(self) -> Mapping[str, str]:
        """The public half as a JWK (RFC 7517), for whoever checks without us."""
        return self._public

    def sign(self, exchange: Exchange) -> str:
        """Return the proof of the exchange's current code, to be shown by who holds that."""
        point = exchange.current
        assert point is not None
        assert point.code is not None
        shown_by, ends_at = shows_code(exchange.kind, point.name), refund_at(exchange)
        return self.write(
            Proof(exchange.id, point.position, point.code.generation, shown_by, ends_at)
        )

    def write(self, proof: Proof) -> str:
        """Return a proof as it is shown; its end counts in whole seconds."""
        content = _LAYOUT.pack(
            _VERSION,
            proof.exchange_id.bytes,
            proof.position,
            proof.generation,
            _SHOWN_BY.index(proof.shown_by),
            int(proof.ends_at.timestamp()),
        )
        r, s = decode_dss_signature(self._key.sign(_PURPOSE + content, _ALGORITHM))
        return _text(content + r.to_bytes(_HALF) + s.to_bytes(_HALF))

    def read(self, text: str) -> Proof:
        """Return what a proof says; whether that is still so is for :func:`check` to tell.

        Raises:
            ProofInvalid: nobody of us signed it.
        """
        try:
            whole = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
            content, signature = whole[: _LAYOUT.size], whole[_LAYOUT.size :]
            version, exchange, position, generation, by, ends = _LAYOUT.unpack(content)
            # One text alone is the proof: bits that base64 leaves over are not free to be set.
            if len(signature) != 2 * _HALF or version != _VERSION or _text(whole) != text:
                raise ValueError
            pair = (int.from_bytes(signature[:_HALF]), int.from_bytes(signature[_HALF:]))
            self._key.public_key().verify(encode_dss_signature(*pair), _PURPOSE + content, _CHECK)
            shown_by, ends_at = _SHOWN_BY[by], datetime.fromtimestamp(ends, UTC)
        except (ValueError, binascii.Error, struct.error, InvalidSignature, IndexError) as error:
            raise ProofInvalid("This is no proof of a hand-over that was made here.") from error
        return Proof(UUID(bytes=exchange), position, generation, shown_by, ends_at)


def check(proof: Proof, exchange: Exchange, now: datetime) -> None:
    """Check that a proof is of what the exchange waits for now.

    Raises:
        ProofInvalid: it is of another exchange.
        ProofOutdated: its code is in use no more.
    """
    if proof.exchange_id != exchange.id:
        raise ProofInvalid("This is the proof of another exchange.")
    point = exchange.current
    code = None if point is None else point.code
    if (
        point is None
        or code is None
        or (point.position, code.generation) != (proof.position, proof.generation)
        or proof.shown_by is not shows_code(exchange.kind, point.name)
        or now >= proof.ends_at
    ):
        raise ProofOutdated("This proof is of a code that is not in use any more.")


def _text(whole: bytes) -> str:
    return base64.urlsafe_b64encode(whole).rstrip(b"=").decode()


def _b64(number: int) -> str:
    return _text(number.to_bytes(_HALF))
