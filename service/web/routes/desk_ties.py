"""What ties somebody who decides: told by themselves before a case, and ended when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import mediators, own_work, ties
from disputes.outcomes import Side
from disputes.own_work import Met
from disputes.recusal import Tie, TieKind
from disputes.ties import Told
from ledger.refusals import Refusal
from service import db
from service.http.statuses import STATUS
from service.ids import decode, encode
from service.messages.words import clean
from service.platforms import members
from service.web.desk import door, once, tickets
from service.web.desk.frame import Form, Frame
from service.web.words import catalogue

router = APIRouter(prefix="/desk/ties", include_in_schema=False)

#: What can be told of oneself; cards and accounts are compared by the service.
KINDS: Final = (TieKind.INTEREST, TieKind.STAFF, TieKind.HOUSEHOLD, TieKind.HELPER)
#: Kinds that are always about one member.
_OF_MEMBERS: Final = frozenset({TieKind.HOUSEHOLD, TieKind.HELPER})
#: As many as are shown; nobody has told of more.
_MOST: Final = 200
#: Of one's own cases, the newest of which somebody may be recognised.
_MOST_MET: Final = 50
_LONGEST_NOTE: Final = 5_000


@router.get("", operation_id="desk_ties")
async def show(request: Request, done: str = "") -> Response:
    """Show what somebody has told of themselves, and the form to tell more."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else await _show(seen, {}, done=done)


@router.post("", operation_id="desk_declare_tie")
async def declare(request: Request) -> Response:
    """Write down what ties them. From now on they are given nothing that it touches."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came

    served, met = await seen.edge.run(db.SYSTEM, lambda c: _around(c, seen.me.mediator_id))
    told = _read(form, served, _people(met))
    if not isinstance(told, Tie):
        return await _show(seen, form, status=422, wrong=told)

    def work(connection: Connection, now: datetime) -> str:
        if told.member_id is not None and told.platform_id is not None:
            members.find(connection, told.platform_id, told.member_id)
        note = form.get("note", "").strip() or "-"
        mediators.declare(connection, seen.me.mediator_id, told, note, now, by="mediator")
        return "/desk/ties?done=told"

    try:
        to = await once.take(seen, form, work)
    except members.MemberNotFound:
        return await _show(seen, form, status=404, wrong={"member": "member"})
    except Refusal as refusal:
        status, error = STATUS[type(refusal)], seen.refused(refusal)
        return await _show(seen, form, status=status, error=error)
    seen.edge.wake()  # the worker draws others for what they had
    return seen.go(to)


def _around(
    connection: Connection, mediator_id: UUID
) -> tuple[list[tuple[str, str, bool]], list[Met]]:
    """Return the platforms that somebody serves, and the cases in which they met people."""
    return tickets.served(connection, mediator_id), own_work.met(connection, mediator_id, _MOST_MET)


def _people(met: list[Met]) -> dict[str, tuple[UUID, UUID]]:
    """Return platform and member of each side of these cases, as the form names sides."""
    return {
        f"{side}.{encode('case', one.case_id)}": (
            one.platform_id,
            one.payer_id if side is Side.PAYER else one.payee_id,
        )
        for one in met
        for side in Side
    }


def _read(
    form: Form, served: list[tuple[str, str, bool]], people: Mapping[str, tuple[UUID, UUID]]
) -> Tie | dict[str, str]:
    """Return the tie that a form tells of, or what is wrong with it, by field.

    Whoever was met in a case is of that case's platform, whichever is chosen beside it.
    """
    wrong: dict[str, str] = {}
    platform, kind = form.get("platform", ""), form.get("kind", "")
    chosen, written = form.get("person", ""), form.get("member", "").strip()
    if kind not in set(KINDS):
        wrong["kind"] = "kind"
    platform_id: UUID | None = None
    member_id: UUID | None = None
    if chosen in people:
        platform_id, member_id = people[chosen]
        if written:
            wrong["person"] = "person_twice"
    elif chosen:
        wrong["person"] = "person"
    elif platform in {id_ for id_, _name, _trial in served}:
        platform_id = decode("platform", platform)
    else:
        wrong["platform"] = "platform"
    try:
        member_id = decode("member", written) if written else member_id
    except ValueError:
        wrong["member"] = "member"
    if kind in _OF_MEMBERS and not (written or chosen):
        wrong["person" if people else "member"] = "member_missing"
    if kind == TieKind.STAFF and (written or chosen):
        wrong["person" if chosen else "member"] = "member_of_staff"
    if len(form.get("note", "")) > _LONGEST_NOTE:
        wrong["note"] = "note"
    return wrong or Tie(TieKind(kind), platform_id, member_id)


@router.get("/{tie}/end", operation_id="desk_leave_tie")
async def leave(request: Request, tie: str) -> Response:  # noqa: ARG001 - part of the address
    """Lead to the list: the address was asked for without its button."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else seen.go("/desk/ties")


@router.post("/{tie}/end", operation_id="desk_end_tie")
async def end(request: Request, tie: str) -> Response:
    """End what they told themselves. What others told is theirs to end; all stays on record."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    me = seen.me.mediator_id

    def work(connection: Connection, now: datetime) -> str:
        try:
            found = ties.get(connection, decode("tie", tie))
        except ValueError as error:
            raise ties.TieNotFound("No tie with this id.") from error
        if (found.mediator_id, found.declared_by) != (me, "mediator"):
            raise ties.TieNotFound("No tie with this id is yours to end.")
        mediators.end_tie(connection, me, found.id, now, by="mediator")
        return "/desk/ties?done=ended"

    try:
        return seen.go(await once.take(seen, form, work))
    except Refusal as refusal:
        status, error = STATUS[type(refusal)], seen.refused(refusal)
        return await _show(seen, {}, status=status, error=error)


async def _show(
    seen: Frame,
    form: Form,
    *,
    status: int = 200,
    error: str | None = None,
    done: str = "",
    wrong: Mapping[str, str] | None = None,
) -> Response:
    me, words = seen.me.mediator_id, seen.speech("desk_own")

    def work(
        connection: Connection,
    ) -> tuple[list[Told], list[tuple[str, str, bool]], list[Met]]:
        told = ties.page(connection, None, _MOST, mediator_id=me, by="mediator")
        return told, *_around(connection, me)

    told, served, met = await seen.edge.run(db.SYSTEM, work)
    names = {id_: name for id_, name, _trial in served}
    who = {
        (platform_id, member_id): name
        for (platform_id, member_id), (_value, name) in zip(
            _people(met).values(), _offered(met, seen), strict=True
        )
    }
    shown = [_told(one, names, who, seen) for one in told]
    return seen.page(
        "ties",
        at="ties",
        status=status,
        error=error,
        done=catalogue(seen.locale, "desk_own")["ties_done"].get(done),
        words=words,
        holding=[one for one in shown if one["ended"] is None],
        ended=[one for one in shown if one["ended"] is not None],
        platforms=served,
        people=_offered(met, seen),
        kinds=KINDS,
        form=dict(form),
        wrong={name: words(f"ties_wrong.{code}") for name, code in (wrong or {}).items()},
    )


def _offered(met: list[Met], seen: Frame) -> list[tuple[str, str]]:
    """Return the people of these cases to choose from: by the exchange and their side of it."""
    return [
        (f"{side}.{encode('case', one.case_id)}", f"{clean(one.title)} : {name}")
        for one in met
        for side, name in ((each, seen.tongue.word("sides", each)) for each in Side)
    ]


def _told(
    one: Told, names: Mapping[str, str], who: Mapping[Any, str], seen: Frame
) -> dict[str, Any]:
    tie = one.tie
    platform = "" if tie.platform_id is None else encode("platform", tie.platform_id)
    return {
        "id": encode("tie", one.id),
        "kind": tie.kind,
        "platform": names.get(platform, platform),
        "member": None if tie.member_id is None else encode("member", tie.member_id),
        "who": who.get((tie.platform_id, tie.member_id)),
        "note": "" if one.note == "-" else one.note,
        "since": seen.tongue.instant(one.declared_at),
        "ended": None if one.ended_at is None else seen.tongue.instant(one.ended_at),
    }
