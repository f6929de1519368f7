"""Write a message: its subject, its text part and its HTML part, in one of the languages.

Each template is a subject, a few paragraphs and the words of one button, all plain text. The HTML
part is made of the same paragraphs, each escaped whole, so that nobody's own text can become markup
and the two parts cannot come to say different things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.messages.words import catalogue, fill, pages, paragraphs

_LONGEST_SUBJECT: Final = 200
#: What a subject has none of; the spaces that never break stay.
_BREAKS: Final = re.compile(r"[ \t\r\n\v\f\x1c-\x1f\x85\u2028\u2029]+")
#: How the names of templates about a case begin; they stand in ``cases.toml``, the others in
#: ``messages.toml``.
CASE: Final = "case_"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a message is for, and how they can be reached. ``locale`` is fr, en or br."""

    name: str | None
    email: str | None
    phone: str | None
    locale: str
    time_zone: str


@dataclass(frozen=True, slots=True)
class Written:
    """A message as it is read."""

    subject: str
    plain: str
    html: str

    def with_link(self, mark: str, url: str) -> Written:
        """Return the message with ``url`` wherever ``mark`` stood in its place."""
        return Written(self.subject, self.plain.replace(mark, url), self.html.replace(mark, url))


def compose(template: str, locale: str, variables: Mapping[str, Any], url: str | None) -> Written:
    """Write the message ``template``; ``url`` is where its button leads, None without one.

    ``variables`` are those of ``facts.variables``: every text in them is clean.

    Raises:
        KeyError: there is no such template in this language.
        jinja2.UndefinedError: the template names a variable that is not there.
    """
    about_case = template.startswith(CASE)
    said = catalogue(locale, "cases" if about_case else "messages")[template]
    words = catalogue(locale, "words")
    subject = _BREAKS.sub(" ", fill(said["subject"], variables).strip())[:_LONGEST_SUBJECT]
    named = "greeting" if variables["name"] else "greeting_unnamed"
    written = paragraphs(fill(said["text"], variables))
    if about_case:
        written = [*written, catalogue(locale, "disputes")["notice"]]
    parts = {
        "locale": locale,
        "subject": subject,
        "greeting": fill(words[named], variables),
        "paragraphs": written,
        "button": said["button"],
        "url": url,
        "link": fill(words["link"], {"button": said["button"]}),
        "careful": words["careful"],
        "footer": fill(words["footer_helper" if variables["helped"] else "footer"], variables),
    }
    return assembled(parts)


def assembled(parts: Mapping[str, Any]) -> Written:
    """Return both forms of a message from its parts, which say the same in each."""
    html = pages.get_template("message.html").render(parts)
    return Written(parts["subject"], _plain(parts), html)


def _plain(parts: Mapping[str, Any]) -> str:
    lines = [parts["greeting"], *parts["paragraphs"]]
    if parts["url"] is not None:
        lines += [f"{parts['link']}\n{parts['url']}", parts["careful"]]
    return "\n\n".join([*lines, f"-- \n{parts['footer']}"]) + "\n"
