"""A mail server in a test: real SMTP on loopback, that refuses what it is told to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Got:
    """One mail as the server took it."""

    sender: str
    recipient: str
    mail: EmailMessage

    def text(self) -> str:
        part = self.mail.get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    def html(self) -> str:
        part = self.mail.get_body(("html",))
        assert part is not None
        return str(part.get_content())


@dataclass
class PostOffice:
    """What came, and what is answered: by default everything is taken."""

    got: list[Got] = field(default_factory=list)
    #: Answers to RCPT TO by address, and to the content; None takes it.
    at_recipient: dict[str, str] = field(default_factory=dict)
    at_content: str | None = None
    #: Cut the line in the middle of the content, or after taking it but before saying so.
    drop: str | None = None
    logins: list[str] = field(default_factory=list)
    while_taking: Callable[[], None] | None = None

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.at_recipient.get(address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Envelope) -> str:  # noqa: N802
        if self.while_taking is not None:
            await asyncio.get_running_loop().run_in_executor(None, self.while_taking)
        if self.drop == "before":
            self._cut(server)
            return "250 never said"
        if self.at_content is not None:
            return self.at_content
        raw = envelope.original_content
        assert raw is not None
        mail = message_from_bytes(raw, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        for recipient in envelope.rcpt_tos:
            self.got.append(Got(envelope.mail_from or "", recipient, mail))
        if self.drop == "after":
            self._cut(server)
        return "250 taken"

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(f"{data.login.decode()}:{data.password.decode()}")
        return AuthResult(success=data.password == b"right", handled=False)

    @staticmethod
    def _cut(server: SMTP) -> None:
        assert isinstance(server.transport, asyncio.Transport)
        server.transport.abort()


class _Controller(Controller):
    """Knows the port that the system chose as soon as there is one."""

    def _trigger_server(self) -> None:
        self.port = port_of(self)
        super()._trigger_server()  # type: ignore[no-untyped-call]


def open_office(office: PostOffice, **more: Any) -> Controller:
    """Serve ``office`` on a free port of loopback."""
    controller = _Controller(office, hostname="127.0.0.1", port=0, enable_SMTPUTF8=True, **more)
    controller.start()
    return controller


def port_of(controller: Controller) -> int:
    """Return the port that the system chose."""
    assert isinstance(controller.server, asyncio.Server)
    port: int = controller.server.sockets[0].getsockname()[1]
    return port


class Tls:
    """A certificate for loopback that nobody but :attr:`trusted` believes."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's mail server")])
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(here, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (folder / "server.pem").write_bytes(
            pem
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.shown.load_cert_chain(folder / "server.pem")
        self.trusted = ssl.create_default_context(cadata=pem.decode())

    @contextmanager
    def serving(self, office: PostOffice, scheme: str) -> Iterator[int]:
        """Serve ``office`` with STARTTLS required (smtp), or under TLS from the start (smtps)."""
        if scheme == "smtps":
            # The library does not know that the line is under TLS already.
            more: dict[str, Any] = {"ssl_context": self.shown, "auth_require_tls": False}
        else:
            more = {"tls_context": self.shown, "require_starttls": True, "auth_required": True}
        controller = open_office(office, authenticator=office.authenticate, **more)
        try:
            yield port_of(controller)
        finally:
            controller.stop()
