"""A case as a PDF for people: the same content as its JSON export, whose hash is on every page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from service.records.catalogue import word, words
from service.records.paper import Paper
from service.records.reading import Reader, instant

_DECISION_PARTS: Final = ("reason_code", "by", "seconded_by", "made_at")


def render(export: Mapping[str, Any], sha256: str, language: str) -> bytes:
    """Return the PDF of an export; the same bytes for the same export.

    Args:
        sha256: of the export's JSON, in hexadecimal.
        language: one of ``catalogue.LANGUAGES``.
    """
    return bytes(_Dossier(export, sha256, language).written().output())


class _Dossier:
    """One document being written."""

    def __init__(self, export: Mapping[str, Any], sha256: str, language: str) -> None:
        said = words(language)
        self._export, self._language, self._words = export, language, said
        self._reader = Reader.of(export, language)
        self._labels: Mapping[str, str] = said["labels"]
        self._file: Mapping[str, Any] = export["file"]
        at = datetime.fromisoformat(_json(export["extract"].split(".")[1])["journal"]["at"])
        foot = f"{said['footer'].replace('{case}', export['case'])}\n"
        foot += said["sha"].format(sha=sha256)
        self._paper = Paper(f"{said['title']} {export['case']}", language, sha256, at, foot)

    def written(self) -> Paper:
        """Write everything and return the document."""
        self._front()
        self._claimed()
        self._amounts()
        self._evidence()
        self._decided()
        self._journal()
        return self._paper

    def _front(self) -> None:
        export, said = self._export, self._words
        self._paper.heading(said["title"], 18)
        if export["mode"] != "live":
            self._paper.strong(said["sandbox"])
        keys = f"{export['issuer']}/.well-known/jwks.json"
        self._paper.paragraph(said["about"].replace("{keys}", keys))
        self._head("case")
        for name in ("case", "exchange", "platform"):
            self._labelled(name, export[name])
        self._labelled("kind", self._word("kinds", export["kind"]))
        for side in ("payer", "payee"):
            self._labelled(side, export[side])
        self._labelled("cause", self._word("causes", export["cause"]))
        self._labelled("reason", self._word("reasons", export["reason"]))
        claimant = export["claimant"]
        none = said["none"]
        self._labelled("claimant", none if claimant is None else self._word("sides", claimant))
        self._labelled("stage", self._word("stages", export["stage"]))
        self._labelled("opened_at", instant(export["opened_at"]))
        if export["closed_at"] is not None:
            self._labelled("closed_at", instant(export["closed_at"]))
        self._labelled("file_sha256", "")
        self._paper.fine(export["file_sha256"], 1)

    def _claimed(self) -> None:
        self._head("claim")
        for question, answer in self._file.get("answers", {}).items():
            self._paper.strong(self._word("questions", question))
            self._paper.paragraph(answer, 1)
        if self._file.get("text"):
            self._labelled("text", "")
            self._paper.paragraph(self._file["text"], 1)
        for part in ("agreed", "facts"):
            if self._file.get(part):
                self._head(part)
                self._told(self._file[part])

    def _amounts(self) -> None:
        self._head("lines")
        for line in self._export["lines"]:
            amount = self._amount(line, line["amount"])
            self._paper.paragraph(self._labels["disputed"].format(line=line["leg"], amount=amount))
        self._head("outcomes")
        by_id = {line["id"]: line for line in self._export["lines"]}
        for one in self._file.get("outcomes", []):
            self._paper.strong(self._word("outcomes", one["outcome"]))
            if isinstance(one["to_payee"], str):
                self._paper.paragraph(self._labels["as_decided"], 1)
                continue
            for id_, part in one["to_payee"].items():
                line = by_id[id_]
                said = {"line": line["leg"], "amount": self._amount(line, part)}
                self._paper.paragraph(self._labels["to_payee"].format(**said), 1)
        if self._file.get("presumed"):
            self._labelled("presumed", self._word("sides", self._file["presumed"]))

    def _evidence(self) -> None:
        self._head("evidence")
        if not self._export["evidence"]:
            self._paper.paragraph(self._words["none"])
        for one in self._export["evidence"]:
            self._piece(one)

    def _piece(self, one: Mapping[str, Any]) -> None:
        sort, author = self._word("sorts", one["sort"]), self._word("sides", one["author"])
        late = f" ({self._labels['late']})" if one["late"] else ""
        head = f"{one['ordinal']}. {sort}, {author}, {instant(one['at'])}{late}"
        self._paper.strong(head)
        if one["deleted"]:
            self._paper.paragraph(self._labels["gone"], 1)
        if one["text"]:
            self._paper.paragraph(one["text"], 1)
        self._told(one["data"], 1)
        for line, indent in self._reader.lines(one["file"] or {}, 1):
            self._paper.fine(line, indent)
        self._paper.fine(f"{one['id']}  {one['hash']}", 1)

    def _decided(self) -> None:
        self._head("decision")
        if self._export["decision"] is None:
            self._paper.paragraph(self._labels["undecided"])
            return
        header, said = (_json(part) for part in self._export["decision"].split(".")[:2])
        self._labelled("outcome", self._word("outcomes", said["outcome"]))
        self._labelled("final", self._labels["is_final" if said["final"] else "not_final"])
        if said["ended_by"] is not None:
            self._labelled("ended_by", self._word("ends", said["ended_by"]))
        for line in said["lines"]:
            if line["to_payee"] is not None:
                payee, payer = (self._amount(line, line[f"to_{to}"]) for to in ("payee", "payer"))
                shares = {"line": line["leg"], "payee": payee, "payer": payer}
                self._paper.paragraph(self._labels["shares"].format(**shares))
        if said["extra"] is not None:
            amount = self._amount(said["extra"], said["extra"]["amount"])
            by = self._word("sides", said["extra"]["by"])
            self._paper.paragraph(self._labels["extra"].format(by=by, amount=amount))
        self._ruled(said)
        named = said["journal"]
        signed = {"issuer": said["issuer"], "kid": header["kid"], "lines": named["lines"]}
        self._paper.paragraph(self._labels["signed"].format(**signed))
        self._paper.fine(named["last_hash"], 1)

    def _ruled(self, said: Mapping[str, Any]) -> None:
        made = said["decision"]
        if made is not None:
            for name in _DECISION_PARTS:
                value = made[name]
                if name == "made_at":
                    value = instant(value)
                elif name == "reason_code":
                    value = self._word("grounds", value)
                if value is not None:
                    self._labelled(name, ", ".join(value) if isinstance(value, list) else value)
            self._labelled("reasons", "")
            self._paper.paragraph(made["reasons"], 1)
        appeal = said["appeal"]
        if appeal is not None:
            result = "waiting" if not appeal["heard"] else "changed"
            if appeal["heard"] and not appeal["changed"]:
                result = "stood"
            told = self._labels["appealed"].format(
                by=self._word("sides", appeal["by"]),
                ground=self._word("grounds", appeal["ground"]),
                result=self._labels[result],
            )
            self._labelled("appeal", told)

    def _journal(self) -> None:
        self._head("journal")
        self._paper.paragraph(self._words["names"])
        for id_, name in self._export["names"].items():
            self._paper.fine(f"{id_} = {name}", 1)
        for line in self._export["journal"]:
            if "withheld" in line:
                self._paper.strong(f"{line['sequence']}. {self._words['withheld']}")
                self._paper.fine(line["hash"], 1)
                continue
            what, who = self._reader.entry(line["type"]), self._reader.actor(line["actor"])
            self._paper.strong(f"{line['sequence']}. {instant(line['at'])}  {what}  ({who})")
            self._told(line["data"], 1)
            self._paper.fine(line["hash"], 1)

    def _head(self, name: str) -> None:
        self._paper.heading(self._words["headings"][name])

    def _labelled(self, name: str, value: str) -> None:
        colon = "\u00a0:" if self._language == "fr" else ":"
        self._paper.paragraph(f"{self._labels[name]}{colon} {value}".rstrip())

    def _word(self, group: str, code: str) -> str:
        return word(self._language, group, code)

    def _amount(self, line: Mapping[str, Any], minor: int) -> str:
        return self._reader.amount(minor, line["unit"])

    def _told(self, value: Any, indent: int = 0) -> None:
        for line, further in self._reader.lines(value, indent):
            self._paper.paragraph(line, further)


def _json(part: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found
