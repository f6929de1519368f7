"""What ``tierce doctor`` says of the settings: names that are none, mail, what is for trying."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from service.config import Settings, unknown_variables
from service.messages.smtp import Smtp


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found: well or not, what it is, and how to mend it.

    What is not well and not ``grave`` is a warning: the instance works, but not as most want it.
    """

    well: bool
    what: str
    mend: str = ""
    grave: bool = True


def look(settings: Settings) -> Iterator[Finding]:
    """Look at what needs no database."""
    for name, meant in unknown_variables().items():
        yield Finding(
            False,
            f"{name} is no setting",
            f"Did you mean {meant}?" if meant else "Remove it; docs/operations.md lists them all.",
            grave=False,
        )
    if settings.webhooks_allow_private:
        yield Finding(
            False,
            "TIERCE_WEBHOOKS_ALLOW_PRIVATE: webhooks go to private addresses and without TLS",
            "It is for development. Elsewhere unset it: a platform could reach what only this "
            "machine's network should.",
            grave=False,
        )
    yield _mail(settings)


def of_live(connection: Connection, settings: Settings) -> Iterator[Finding]:
    """Look at what must not be so where real people are."""
    live = connection.execute(
        text("SELECT EXISTS (SELECT FROM service.platform WHERE mode = 'live')")
    ).scalar_one()
    if settings.sms == "log":
        yield Finding(
            not live,
            "TIERCE_SMS=log: SMS are written to the log and reach nobody",
            "There is a live platform. Unset it: members who prefer SMS then get e-mail.",
            grave=False,
        )


def _mail(settings: Settings) -> Finding:
    """Greet the mail server as a message would, and send none."""
    if settings.smtp_url is None or settings.mail_from is None:
        return Finding(
            True,
            "no mail goes out: TIERCE_SMTP_URL is not set; messages are shown in the mailbox alone",
        )
    try:
        Smtp(settings.smtp_url.get_secret_value(), settings.mail_from, None).greet()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Finding(
            False,
            f"mail server: {said}",
            "Check TIERCE_SMTP_URL: host, port, user, password, and that the server offers TLS "
            "with a certificate that this machine believes. Until then messages wait.",
        )
    return Finding(True, "mail server answers (TIERCE_SMTP_URL); no mail was sent")
