"""What a provider wants to know of a payee, in plain words beside its own names.

The names are those of Stripe's account requirements, such as ``individual.dob.day``; the sandbox
uses the same. A name that is not known here is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

#: Whose detail it is: the words are the same for all of them.
_OWNERS: Final = ("individual", "representative", "company", "owners", "directors", "executives")

#: By the name without its owner; a longer name is tried before a shorter one.
_WORDS: Final = {
    "address": "the postal address",
    "business_profile.mcc": "what kind of activity this is",
    "business_profile.product_description": "a description of what is offered",
    "business_profile.url": "a web page, or a description of what is offered",
    "business_type": "whether this is a person, a company or an association",
    "dob": "the date of birth",
    "email": "an e-mail address",
    "external_account": "the bank account to be paid to (IBAN)",
    "first_name": "the first name",
    "id_number": "an official identification number",
    "last_name": "the last name",
    "name": "the name",
    "nationality": "the nationality",
    "phone": "a phone number",
    "political_exposure": "whether this person holds a high public office",
    "registration_number": "the registration number",
    "settings.payments.statement_descriptor": "the name to show on bank statements",
    "ssn_last_4": "the last four digits of the social security number",
    "tax_id": "the tax number",
    "tos_acceptance": "agreement to the payment provider's terms",
    "vat_id": "the VAT number",
    "verification.additional_document": "a second document, which shows the address",
    "verification.document": "a copy of an identity document",
    "verification.proof_of_liveness": "a picture of oneself, taken now",
}
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def plain(name: str) -> str:
    """Return a requirement in plain words, such as ``the date of birth``; unknown ones as named."""
    parts = name.split(".")
    if parts[0] in _OWNERS or parts[0].startswith("person_"):
        parts = parts[1:]
    for length in range(len(parts), 0, -1):
        words = _WORDS.get(".".join(parts[:length]))
        if words is not None:
            return words
    return name


def grouped(due: Iterable[str]) -> dict[str, list[str]]:
    """Return the plain words of requirements, each once, with the names that they stand for."""
    found: dict[str, list[str]] = {}
    for name in due:
        found.setdefault(plain(name), []).append(name)
    return found


def listed(due: Iterable[str]) -> str:
    """Return requirements as a part of a sentence."""
    words = list(grouped(due))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def day(instant: datetime, zone: str) -> str:
    """Return the day of ``instant`` in an IANA time zone, such as ``14 March 2027``."""
    local = instant.astimezone(ZoneInfo(zone))
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}"
