"""The channels of an instance, as its settings say."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.config import Settings
from service.messages.bounces import ReturnPath
from service.messages.mailbox import Mailbox
from service.messages.port import Channel
from service.messages.sms import LoggedSms
from service.messages.smtp import Smtp


@dataclass(frozen=True, slots=True)
class Channels:
    """What messages leave by. ``real`` lead to a person, by name: ``email``, ``sms``.

    ``development``: what has no real channel goes to the mailbox instead of to nobody.
    """

    public_url: str
    real: dict[str, Channel] = field(default_factory=dict)
    mailbox: Channel = field(default_factory=Mailbox)
    development: bool = False


def return_path(chosen: Settings) -> ReturnPath | None:
    """Return the maker of return paths, or None when bounces come to nobody."""
    if chosen.bounce_address is None or chosen.code_key is None:
        return None
    return ReturnPath(chosen.bounce_address, chosen.code_key.get_secret_value())


def make_channels(chosen: Settings) -> Channels:
    """Return the channels of an instance.

    Raises:
        ValueError: TIERCE_SMTP_URL is none, or comes without TIERCE_MAIL_FROM.
    """
    real: dict[str, Channel] = {}
    if chosen.smtp_url is not None:
        if chosen.mail_from is None:
            raise ValueError("TIERCE_SMTP_URL needs TIERCE_MAIL_FROM, the address mail comes from.")
        url = chosen.smtp_url.get_secret_value()
        real["email"] = Smtp(url, chosen.mail_from, return_path(chosen))
    if chosen.sms == "log":
        real["sms"] = LoggedSms()
    return Channels(chosen.public_url, real, development=chosen.dev_pages)
