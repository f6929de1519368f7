"""Member tokens: what they say, and every way to forge one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwt
from jose.utils import base64url_decode

from service.ids import encode, uuid7
from service.platforms.tokens import AUDIENCE, BadToken, Signer

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
ISSUER = "https://tierce.test"


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


KEY = ec.generate_private_key(ec.SECP256R1())
PEM = _pem(KEY)
SIGNER = Signer(PEM, ISSUER)
# The same in every process: they are in the names of tests, which pytest-xdist compares.
PLATFORM = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
MEMBER = UUID("01890a5d-ac96-774b-bcce-b302099a8058")


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def _claims(**changes: Any) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": encode("member", MEMBER),
        "platform": encode("platform", PLATFORM),
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 900,
        "jti": str(uuid7()),
    } | changes
    return {name: value for name, value in claims.items() if value is not None}


def _signed(claims: Mapping[str, Any], pem: str = PEM, **header: Any) -> str:
    kid = SIGNER.jwks["keys"][0]["kid"]
    return str(jwt.encode(dict(claims), pem, algorithm="ES256", headers={"kid": kid, **header}))


def test_a_token_speaks_for_one_member_of_one_platform_until_it_ends() -> None:
    token, ends = SIGNER.issue(PLATFORM, MEMBER, NOW, timedelta(minutes=15))
    assert ends == NOW + timedelta(minutes=15)
    assert SIGNER.verify(token, NOW) == (PLATFORM, MEMBER)
    assert SIGNER.verify(token, ends - timedelta(seconds=1)) == (PLATFORM, MEMBER)
    with pytest.raises(BadToken):
        SIGNER.verify(token, ends)


def test_no_token_lives_longer_than_an_hour() -> None:
    _token, ends = SIGNER.issue(PLATFORM, MEMBER, NOW, timedelta(days=7))
    assert ends == NOW + timedelta(hours=1)


def test_the_published_key_verifies_and_its_name_is_its_thumbprint() -> None:
    token, _ends = SIGNER.issue(PLATFORM, MEMBER, NOW)
    (key,) = SIGNER.jwks["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}, "a private part is published"
    thumbprint = orjson.dumps({name: key[name] for name in ("crv", "kty", "x", "y")})
    assert base64url_decode(key["kid"].encode()) == hashlib.sha256(thumbprint).digest()
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["kid"]) == ("ES256", key["kid"])
    claims = jwt.decode(
        token, key, ["ES256"], audience=AUDIENCE, issuer=ISSUER, options={"verify_exp": False}
    )
    assert claims["sub"] == encode("member", MEMBER)
    assert claims["jti"]


def test_a_genuine_token_of_this_test_is_taken_so_that_the_forged_ones_fail_for_their_flaw() -> (
    None
):
    assert SIGNER.verify(_signed(_claims()), NOW) == (PLATFORM, MEMBER)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_an_unsigned_token_is_refused(algorithm: str) -> None:
    unsigned = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(_claims())}."
    with pytest.raises(BadToken):
        SIGNER.verify(unsigned, NOW)


@pytest.mark.parametrize("encoding", ["pem", "jwk"])
def test_a_token_signed_by_hmac_with_the_public_key_is_refused(encoding: str) -> None:
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    secret = public if encoding == "pem" else orjson.dumps(SIGNER.jwks["keys"][0])
    said = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(_claims())}"
    mac = hmac.new(secret, said.encode(), hashlib.sha256).digest()
    forged = f"{said}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    with pytest.raises(BadToken):
        SIGNER.verify(forged, NOW)


def test_a_token_of_another_key_is_refused_even_under_our_key_s_name() -> None:
    stranger = _pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(BadToken):
        SIGNER.verify(_signed(_claims(), stranger), NOW)
    with pytest.raises(BadToken):
        SIGNER.verify(Signer(stranger, ISSUER).issue(PLATFORM, MEMBER, NOW)[0], NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-service"},
        {"aud": None},
        {"iss": "https://elsewhere.test"},
        {"iss": None},
        {"sub": None},
        {"sub": str(MEMBER)},
        {"sub": encode("exchange", MEMBER)},
        {"platform": None},
        {"platform": encode("member", PLATFORM)},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 10**30},
        {"exp": int(NOW.timestamp())},
        {"exp": int(NOW.timestamp()) - 1},
    ],
    ids=str,
)
def test_a_token_with_a_wrong_or_missing_claim_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        SIGNER.verify(_signed(_claims(**changes)), NOW)


def test_a_changed_token_is_refused() -> None:
    head, _body, signature = _signed(_claims()).split(".")
    other = _part(_claims(sub=encode("member", uuid7())))
    with pytest.raises(BadToken):
        SIGNER.verify(f"{head}.{other}.{signature}", NOW)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a.b.c", "é.é.é", "eyJhbGciOiJFUzI1NiJ9..", "x" * 9_000]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        SIGNER.verify(text, NOW)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_a_signing_key_of_another_curve_is_refused_at_start(curve: ec.EllipticCurve) -> None:
    with pytest.raises(ValueError, match="P-256"):
        Signer(_pem(ec.generate_private_key(curve)), ISSUER)
