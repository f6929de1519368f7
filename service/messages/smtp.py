"""E-mail by any SMTP server (RFC 5321), told apart into what may work later and what never will."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from service import clock, db
from service.messages.bounces import ReturnPath
from service.messages.port import Envelope, Fate, Outcome
from service.messages.words import clean

#: Longest wait for each answer of the server, in seconds.
TIMEOUT: Final = 20.0
_PORTS: Final = {"smtp": 587, "smtps": 465}
_LONGEST_REASON: Final = 200
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in: ``smtp://user:password@host:587`` or ``smtps://…``."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> Server:
        """Read the setting.

        Raises:
            ValueError: it is not such an address; the message says what one looks like.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError("TIERCE_SMTP_URL looks like smtp://user:password@host:587")
        return cls(
            parts.hostname,
            parts.port or _PORTS[parts.scheme],
            parts.scheme == "smtps",
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
        )


class _Refused(Exception):
    """The server said no at a stage; ``at`` is ``recipient`` when it is about the address."""

    def __init__(self, code: int, said: bytes, at: str) -> None:
        words = " ".join(said.decode("utf-8", "replace").split())
        super().__init__(f"{code} {words}"[:_LONGEST_REASON])
        self.permanent = code >= 500
        # 5.7.x is the server's opinion of us, not of the address (RFC 3463).
        self.about_address = at == "recipient" and self.permanent and not words.startswith("5.7.")
        self.at = at


class Smtp:
    """Hands mail in at one server, each message in a session of its own."""

    def __init__(
        self,
        url: str,
        sender: str,
        path: ReturnPath | None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Take the server's URL, the From address, and who makes return paths, if anybody.

        ``trust`` says which servers' certificates are believed; by default the system's.

        Raises:
            ValueError: the URL or the From address is none.
        """
        self._server = Server.parse(url)
        self._sender = Address(addr_spec=sender)
        self._path = path
        self._trust = trust or ssl.create_default_context()

    def send(self, envelope: Envelope) -> Outcome:
        """Try once. A server that cannot be reached, or drops the line, may be there later."""
        db.outside_transaction()
        try:
            to = _address(envelope.address)
            mail = self._write(envelope, to)
        except ValueError as error:
            return Outcome(Fate.REFUSED, f"not an address: {error}"[:_LONGEST_REASON], True)
        try:
            with self._session() as session:
                self._hand_in(session, envelope, to, mail)
        except _Refused as refused:
            # What the server holds against the sender or the session is for the operator to mend.
            never = refused.permanent and refused.at in {"recipient", "content"}
            fate = Fate.REFUSED if never else Fate.LATER
            return Outcome(fate, str(refused), refused.about_address)
        except (smtplib.SMTPException, OSError) as error:
            said = f"{type(error).__name__}: {error}"
            return Outcome(Fate.LATER, " ".join(said.split())[:_LONGEST_REASON])
        return Outcome(Fate.SENT)

    def greet(self) -> None:
        """Greet the server, sign in where there is somebody to sign in as, and leave; no mail goes.

        Raises:
            SMTPException, OSError: the server cannot be reached, or lets nobody in.
        """
        with self._session() as session:
            session.ehlo_or_helo_if_needed()
            if self._server.user is not None:
                session.login(self._server.user, self._server.password or "")

    def _session(self) -> smtplib.SMTP:
        server, context = self._server, self._trust
        if server.tls:
            return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=context)
        session = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
        try:
            session.ehlo_or_helo_if_needed()
            # A password or a member's mail does not cross a network in the open.
            if session.has_extn("starttls"):
                session.starttls(context=context)
                session.ehlo()
            elif server.host not in _LOCAL:
                raise smtplib.SMTPNotSupportedError("the server offers no STARTTLS")
        except (smtplib.SMTPException, OSError):
            session.close()
            raise
        return session

    def _hand_in(
        self, session: smtplib.SMTP, envelope: Envelope, to: Address, mail: EmailMessage
    ) -> None:
        session.ehlo_or_helo_if_needed()
        if self._server.user is not None:
            session.login(self._server.user, self._server.password or "")
        international = not to.addr_spec.isascii()
        if international and not session.has_extn("smtputf8"):
            raise _Refused(553, b"the server takes no international addresses", "recipient")
        sender = self._sender.addr_spec
        if self._path is not None:
            message, _, sending = envelope.reference.partition(".")
            sender = self._path.of(message, int(sending))
        options = []
        if international:
            options, session.command_encoding = ["SMTPUTF8"], "utf-8"
        _check(session.mail(sender, options), "sender")
        _check(session.rcpt(to.addr_spec), "recipient")
        policy = SMTPUTF8 if international else SMTP
        try:
            _check(session.data(mail.as_bytes(policy=policy)), "content")
        except smtplib.SMTPDataError as error:
            said = error.smtp_error
            raise _Refused(
                error.smtp_code, said if isinstance(said, bytes) else said.encode(), "content"
            ) from error

    def _write(self, envelope: Envelope, to: Address) -> EmailMessage:
        mail = EmailMessage(policy=SMTPUTF8)
        mail["Subject"] = envelope.written.subject
        mail["From"] = Address(clean(envelope.sender), addr_spec=self._sender.addr_spec)
        mail["To"] = Address(clean(envelope.recipient.name or ""), to.username, to.domain)
        mail["Date"] = format_datetime(clock.now())
        # The same at each attempt: a second copy is known to be the same mail.
        mail["Message-ID"] = f"<{envelope.reference}@{self._sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Content-Language"] = envelope.recipient.locale
        mail.set_content(envelope.written.plain, cte="quoted-printable")
        mail.add_alternative(envelope.written.html, subtype="html", cte="quoted-printable")
        return mail


def _check(answer: tuple[int, bytes], at: str) -> None:
    code, said = answer
    if not 200 <= code < 300:
        raise _Refused(code, said, at)


def _address(given: str) -> Address:
    """Return an address as the envelope takes it: the domain in ASCII (RFC 5891).

    Raises:
        ValueError: it is none.
    """
    if any(letter.isspace() or not letter.isprintable() for letter in given):
        raise ValueError("it has spaces or control characters")
    local, _, domain = given.rpartition("@")
    if not local or not domain:
        raise ValueError("it has no name or no domain")
    return Address(username=local, domain=domain.encode("idna").decode())
