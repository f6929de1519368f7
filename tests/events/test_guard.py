"""Webhooks go to the public internet alone, whatever an address says or a name turns into."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.events import guard
from service.events.courier import Result, open_courier
from service.events.guard import AddressRefused, Forbidden, Guard, is_public
from tests.events.sink import HANG, OK, Reply, Sink

PUBLIC: Final = "93.184.215.14"
HEADERS: Final = [
    ("webhook-id", "evt_1"),
    ("webhook-timestamp", "1"),
    ("webhook-signature", "v1,x"),
]
PLATFORM: Final = uuid4()
BODY: Final = b'{"id":"evt_1","type":"x","exchange":null,"sequence":null}'


class Names:
    """A resolver that gives each answer in turn, and the last from then on."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, whose: UUID) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def check(url: str, one: Guard) -> None:
    asyncio.run(one.check(url, PLATFORM))


def send(url: str, one: Guard, trust: ssl.SSLContext | None = None, seconds: float = 10) -> Result:
    """Send one message, as a delivery does."""

    async def work() -> Result:
        async with open_courier(one, seconds=seconds, trust=trust) as courier:
            return await courier.send(url, HEADERS, BODY, datetime.now(UTC), PLATFORM)

    return asyncio.run(work())


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.169.254",
        "169.254.0.1",
        "192.0.0.8",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%2",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:53aa:64c:0:0:80ff:fffe",
        "2001:db8::1",
    ],
)
def test_an_address_that_is_not_of_the_public_internet_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(AddressRefused):
        check("https://hooks.example/x", Guard(resolver=Names([address])))
    with pytest.raises(AddressRefused):
        check("https://hooks.example/x", Guard(resolver=Names([PUBLIC, address])))


@pytest.mark.parametrize(
    "address", [PUBLIC, "1.1.1.1", "172.32.0.1", "2606:2800:220:1::1", "64:ff9b::5db8:d70e"]
)
def test_a_public_address_is_taken(address: str) -> None:
    assert is_public(ip_address(address))
    check("https://hooks.example/x", Guard(resolver=Names([address])))


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/x",
        "ftp://hooks.example/x",
        "file:///etc/passwd",
        "hooks.example/x",
        "https://",
        "https:///x",
        "https://name@hooks.example/x",
        "https://name:word@hooks.example/x",
        "https://@hooks.example/x",
        "https://hooks.example/x#part",
        "https://hooks.example:0/x",
        "https://hooks.example:99999/x",
        "https://hooks.example:port/x",
        "https://hooks example/x",
        "https://hooks.example\\@127.0.0.1/x",
        "https://hooks.example/\r\nx: y",
        "https://bücher.example/x",
        "https://[fe80::1%25eth0]/x",
        "https://[::1/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:169.254.169.254]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://hooks.example/" + "x" * 2_000,
    ],
)
def test_what_is_no_address_of_the_public_internet_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        check(url, Guard(resolver=Names([PUBLIC])))
    assert refused.value.pointer == "/url"


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "LOCALHOST"]
)
def test_this_machine_is_refused_however_its_name_is_written(host: str) -> None:
    with pytest.raises(AddressRefused):
        check(f"https://{host}/x", Guard())


@pytest.mark.parametrize("url", ["https://a..b/x", f"https://{'a' * 70}.example/x"])
def test_a_name_that_no_server_can_be_asked_about_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check(url, Guard())


def test_any_port_is_taken_with_tls_and_the_operator_can_allow_more() -> None:
    check("https://hooks.example:8443/x", Guard(resolver=Names([PUBLIC])))
    developer = Guard(allow_private=True)
    check("http://127.0.0.1:8000/x", developer)
    check("https://10.0.0.1/x", developer)
    for url in (
        "http://224.0.0.1/x",
        "http://0.0.0.0/x",
        "ftp://127.0.0.1/x",
        "http://169.254.169.254/x",
        "http://[::ffff:169.254.169.254]/x",
        "http://[fe80::1]/x",
        "http://[fd00:ec2::254]/x",
    ):
        with pytest.raises(AddressRefused):
            check(url, developer)


def test_a_name_that_changes_after_it_was_checked_leads_nowhere(sink: Sink) -> None:
    """DNS rebinding: public when it is registered, this machine when it is connected to."""
    names = Names([PUBLIC], ["127.0.0.1"])
    one = Guard(resolver=names)
    url = f"https://hooks.example:{sink.port}/x"
    check(url, one)
    result = send(url, one)
    assert (result.status, result.error) == (None, "the host is not on the public internet")
    assert sink.arrivals == []
    assert sink.server_names == []


def test_the_address_that_was_checked_is_the_one_connected_to(sink: Sink) -> None:
    """Asked once for a connection: there is no second answer to be different."""
    names = Names(["127.0.0.1"], ["10.255.255.1"])
    result = send(f"http://hooks.example:{sink.port}/x", Guard(True, names))
    assert result.delivered
    assert names.asked == ["hooks.example"]
    assert sink.arrivals[0].headers["host"] == f"hooks.example:{sink.port}"


def test_a_second_address_is_tried_when_the_first_does_not_answer(sink: Sink) -> None:
    with Sink() as other:
        closed = other.port
    assert closed != sink.port
    names = Names(["127.0.0.2", "127.0.0.1"])
    assert send(f"http://hooks.example:{sink.port}/x", Guard(True, names)).delivered


def test_over_tls_the_name_is_what_is_asked_for_and_proved(tmp_path: Path) -> None:
    context, trust = _authority(tmp_path, "hooks.example")
    with Sink(context) as sink:
        names = Guard(True, Names(["127.0.0.1"]))
        assert send(f"https://hooks.example:{sink.port}/x", names, trust).delivered
        assert sink.server_names == ["hooks.example"]
        wrong = send(f"https://other.example:{sink.port}/x", names, trust)
        assert not wrong.delivered
        assert "certificate" in (wrong.error or "").lower()
        stranger = send(f"https://hooks.example:{sink.port}/x", names)
        assert not stranger.delivered
        assert len(sink.arrivals) == 1


def test_a_proxy_of_the_environment_is_not_used(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sink() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert send(sink.url(), Guard(True)).delivered
        assert proxy.arrivals == []


def test_a_redirect_into_the_network_is_not_followed(sink: Sink) -> None:
    with Sink() as inside:
        sink.reply("/hook", Reply(307, (("location", inside.url()),)))
        result = send(sink.url(), Guard(True))
        assert (result.status, result.delivered) == (307, False)
        assert inside.arrivals == []


@pytest.mark.parametrize("value", ["600", f"Mon, 01 Jan {'9' * 23} 00:00:00 GMT"])
def test_who_takes_a_message_is_not_heard_about_the_next_one(sink: Sink, value: str) -> None:
    sink.reply("/hook", Reply(200, (("retry-after", value),)))
    result = send(sink.url(), Guard(True))
    assert (result.delivered, result.wanted_at) == (True, None)


def test_who_does_not_answer_in_time_is_not_waited_for(sink: Sink) -> None:
    sink.reply("/hook", HANG)
    result = send(sink.url(), Guard(True), seconds=0.3)
    assert (result.status, result.error) == (None, "no answer within 0.3 seconds")


def test_who_answers_drop_by_drop_is_not_waited_for(sink: Sink) -> None:
    sink.reply("/hook", Reply(headers=(("content-length", "900"),)), OK)
    result = send(sink.url(), Guard(True), seconds=0.3)
    assert result.error == "no answer within 0.3 seconds"


def test_a_name_that_does_not_resolve_is_an_error_like_any_other() -> None:
    async def nothing(_host: str, _port: int, _whose: UUID) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(AddressRefused):
        check("https://hooks.example/x", Guard(resolver=nothing))
    result = send("https://hooks.example/x", Guard(resolver=nothing))
    assert result.error == "the name of the host does not resolve"


def test_a_resolver_that_hangs_keeps_no_registration_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(_host: str, _port: int, _whose: UUID) -> Sequence[str]:
        await asyncio.Event().wait()
        return [PUBLIC]

    monkeypatch.setattr(guard, "_PATIENCE_SECONDS", 0.1)
    with pytest.raises(AddressRefused):
        check("https://hooks.example/x", Guard(resolver=hang))


def test_plain_http_is_not_sent_any_more_once_the_operator_forbids_it(sink: Sink) -> None:
    result = send(f"http://hooks.example:{sink.port}/x", Guard(resolver=Names([PUBLIC])))
    assert (result.status, "https://" in (result.error or "")) == (None, True)
    assert sink.arrivals == []


def test_a_connection_that_the_other_side_closed_is_made_anew(sink: Sink) -> None:
    async def work() -> list[Result]:
        async with open_courier(Guard(True)) as courier:
            results = []
            for _ in range(3):
                results.append(
                    await courier.send(sink.url(), HEADERS, BODY, datetime.now(UTC), PLATFORM)
                )
                sink.hang_up()
            return results

    assert [one.status for one in asyncio.run(work())] == [200, 200, 200]


def test_forbidden_is_told_apart_from_not_reached() -> None:
    with pytest.raises(Forbidden):
        asyncio.run(Guard().addresses(str(IPv4Address("10.0.0.1")), 443, PLATFORM))


def _authority(folder: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context with a certificate for ``host``, and one that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    trust = ssl.create_default_context()
    trust.load_verify_locations(pem)
    return context, trust
