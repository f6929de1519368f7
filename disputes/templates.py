"""Words for decisions, by reason, outcome and language, with blanks that whoever decides fills in.

A template decides nothing and is no reason: it says what a good explanation speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.reasons import REASONS, SILENCE
from ledger.refusals import Refusal

#: What can be decided for one reason or another.
DECIDABLE: Final = SILENCE.outcomes.union(*(one.outcomes for one in REASONS.values()))
#: A blank of a template, as it is written.
BLANK: Final = re.compile(r"\{\{([a-z][a-z0-9_]{0,39})\}\}")


class TemplateInvalid(Refusal):
    """A template for what cannot be decided, or whose blanks are not written as they must be."""

    code = "template_invalid"


class TemplateNotFound(Refusal):
    """No such template, or it was retired."""

    code = "template_not_found"


@dataclass(frozen=True, slots=True)
class Template:
    """Words for a decision; ``reason`` None: for every reason."""

    id: UUID
    language: str
    reason: str | None
    outcome: str
    title: str
    text: str
    created_at: datetime
    created_by: UUID

    @property
    def blanks(self) -> list[str]:
        """The names of the blanks, in their order, each once."""
        return list(dict.fromkeys(BLANK.findall(self.text)))


_COLUMNS: Final = tuple(one.name for one in fields(Template))
_INSERT: Final = text(
    f"INSERT INTO disputes.template ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)
_RETIRE: Final = text(
    "UPDATE disputes.template SET retired_at = :now "  # noqa: S608 - our own names
    f"WHERE id = :id AND retired_at IS NULL RETURNING {', '.join(_COLUMNS)}"
)
_FIND: Final = text(
    f"SELECT {', '.join(_COLUMNS)} FROM disputes.template "  # noqa: S608 - our own names
    "WHERE retired_at IS NULL "
    "AND (CAST(:language AS text) IS NULL OR language = :language) "
    "AND (CAST(:outcome AS text) IS NULL OR outcome = :outcome) "
    # Those for every reason fit too, after those for this one.
    "AND (CAST(:reason AS text) IS NULL OR reason IS NULL OR reason = :reason) "
    "ORDER BY outcome, reason NULLS LAST, language, id"
)


def add(connection: Connection, template: Template) -> None:
    """Write a template.

    Raises:
        TemplateInvalid
    """
    reason = SILENCE if template.reason == SILENCE.code else REASONS.get(template.reason or "")
    if template.reason is not None and reason is None:
        raise TemplateInvalid(
            f"Reasons are: {', '.join([*REASONS, SILENCE.code])}.", pointer="/reason"
        )
    open_ = sorted(DECIDABLE if reason is None else reason.outcomes)
    if template.outcome not in open_:
        raise TemplateInvalid(f"It can be decided: {', '.join(open_)}.", pointer="/outcome")
    rest = BLANK.sub("", template.text)
    if "{" in rest or "}" in rest:
        raise TemplateInvalid(
            "A blank is written {{what_was_shown}}: small letters, figures and underscores.",
            pointer="/text",
        )
    connection.execute(_INSERT, {name: getattr(template, name) for name in _COLUMNS})


def retire(connection: Connection, id_: UUID, now: datetime) -> Template:
    """Offer a template no more; return it as it was.

    Raises:
        TemplateNotFound
    """
    row = connection.execute(_RETIRE, {"id": id_, "now": now}).one_or_none()
    if row is None:
        raise TemplateNotFound("No template with this id.")
    return Template(**row._asdict())


def find(
    connection: Connection,
    *,
    language: str | None = None,
    reason: str | None = None,
    outcome: str | None = None,
) -> Sequence[Template]:
    """Return the templates that fit, those for the very reason first."""
    values: dict[str, Any] = {"language": language, "reason": reason, "outcome": outcome}
    return [Template(**row._asdict()) for row in connection.execute(_FIND, values)]
