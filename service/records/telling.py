"""What signed documents say, in plain words for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ledger.units import Unit
from service.records.verify import Genuine, GenuineExport

_HOW: Final = {
    "offer_accepted": "one side accepted what the other offered",
    "proposal_accepted": "both sides accepted what the mediator proposed",
    "claim_withdrawn": "the claim was withdrawn; the exchange went on as before",
    "appeal_time_over": "it was decided, and nobody appealed in time",
    "appeal_decided": "it was decided on appeal",
    "appeal_not_heard": "it was decided; an appeal was not heard in time, so the decision stood",
    "return_confirmed": "the goods went back",
    "not_returned": "the goods did not come back in time",
    "flag_lifted": "a mediator found nothing wrong with what was flagged",
    "moot": "what it was about found its end without it",
    "repair_confirmed": "it was mended; the exchange went on as before",
    "limit_reached": "nobody could decide in time, and what the terms presume held",
}


def words(genuine: Genuine) -> Iterator[str]:
    """Yield what a genuine document says, a line each."""
    document = genuine.document
    yield f"A {genuine.kind} signed by {document['issuer']} with key {genuine.kid}."
    if document["mode"] != "live":
        yield "OF A SANDBOX: it is about no real money and no real people."
    if genuine.kind == "decision":
        yield from _decision(document)
    elif genuine.kind == "receipt":
        yield from _receipt(document)
    else:
        named = document["journal"]
        yield f"Case {document['case']} on exchange {document['exchange']}."
        yield f"Its journal had {named['lines']} lines, the last of {named['at']}."


def words_of_export(found: GenuineExport) -> Iterator[str]:
    """Yield what is proven of an export, a line each, and what is not."""
    yield f"An export of a case: its file and the {found.lines} lines of its journal are whole."
    if found.deleted:
        yield f"{found.deleted} pieces of evidence were deleted on their date; the hashes are left."
    if found.withheld:
        yield f"Of {found.withheld} the words are kept back: how those who decide deliberate."
    yield from words(found.extract)
    if found.decision is None:
        yield "The case was not decided yet."
        return
    yield from words(found.decision)
    if found.later:
        yield f"{found.later} lines of the journal were written after what this decision tells."


def _decision(said: Mapping[str, Any]) -> Iterator[str]:
    yield f"Case {said['case']} on exchange {said['exchange']}, opened {said['opened_at']}."
    yield f"Payer {said['payer']}, payee {said['payee']}. Asked: {said['question']}."
    yield f"Case file (SHA-256): {said['file_sha256']}"
    if said["final"]:
        how = _HOW.get(said["ended_by"], said["ended_by"])
        yield f"Ended {said['closed_at']} as '{said['outcome']}': {how}."
    else:
        yield f"Decided '{said['outcome']}', told {said['told_at']}. NOT FINAL YET."
    for line in said["lines"]:
        if line["to_payee"] is not None:
            payee, payer = _amount(line, "to_payee"), _amount(line, "to_payer")
            yield f"  {line['leg']}: {payee} to the payee, {payer} back to the payer"
    if said["extra"] is not None:
        yield f"  Beside it, the {said['extra']['by']} gave {_amount(said['extra'], 'amount')}."
    made = said["decision"]
    if made is not None:
        yield f"Decided by {', '.join(made['by'])}, for '{made['reason_code']}'."
        if made["seconded_by"] is not None:
            yield f"Read and agreed to by {made['seconded_by']} before it was told."
        yield f"Reasons: {made['reasons']}"
    appeal = said["appeal"]
    if appeal is not None:
        heard = "changed it" if appeal["changed"] else "left it as it was"
        yield f"The {appeal['by']} appealed ('{appeal['ground']}'), which {heard}."
    named = said["journal"]
    yield f"Journal: {named['lines']} lines, the last one {named['last_hash']}"


def _receipt(said: Mapping[str, Any]) -> Iterator[str]:
    yield f"Exchange {said['exchange']} ({said['kind']}): {said['state']} {said['closed_at']}."
    yield f"Terms (SHA-256): {said['terms_sha256']}, agreed {said['agreed_at']}"
    for side in ("payer", "payee"):
        name = said[side]["name"]
        yield f"The {side}: {said[side]['member']}{f', {name}' if name else ''}"
    for leg in said["legs"]:
        if leg["to_payee"] is None:
            yield f"  {leg['leg']}: {leg['role']} of {_amount(leg, 'amount')}, never paid in"
            continue
        payee, payer, fees = (_amount(leg, name) for name in ("to_payee", "to_payer", "to_fees"))
        yield f"  {leg['leg']}: {payee} to the payee, {payer} back to the payer, {fees} of fees"
    for word in said["confirmations"]:
        yield f"  {word['at']}: the {word['by']} said '{word['word']}' of '{word['checkpoint']}'"
    for case in said["cases"]:
        yield f"  Case {case['case']} ended as '{case['outcome']}' (decision: {case['sha256']})"


def _amount(line: Mapping[str, Any], name: str) -> str:
    return Unit(line["unit"], line["decimals"], line["unit"]).format(line[name])
