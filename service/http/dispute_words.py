"""What is said to members about disputes, each thing in all their languages."""

from __future__ import annotations

from service.messages.words import LOCALES, catalogue

_FILE = "disputes"


def words(group: str, code: str) -> dict[str, str]:
    """Return the words of a group for a code, by language.

    Raises:
        KeyError: there are none; a bug of ours.
    """
    return {locale: catalogue(locale, _FILE)[group][code] for locale in LOCALES}


def notice() -> dict[str, str]:
    """Return what ends everything that a member reads about a case."""
    return {locale: catalogue(locale, _FILE)["notice"] for locale in LOCALES}
