"""Claims in bad faith, as the API and the desk's pages find them and take them back."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from disputes import queue, store, strikes
from disputes.own_work import TOLD
from disputes.refusals import CaseNotFound, NotNowInCase
from disputes.strikes import Strike
from service.http.moment import moment_on


def give(connection: Connection, mediator_id: UUID, case_id: UUID, reason: str) -> Strike:
    """Find that the claim of a case was made in bad faith; what was found first holds.

    Raises:
        CaseNotFound: it was not decided by them.
        NotNowInCase: both sides were not told of the decision yet.
        StrikeInvalid: nobody claimed, or the reason is none.
    """
    platform_id = store.platform_of(connection, case_id)
    if platform_id is None:
        raise CaseNotFound("No case with this id is yours.")
    found = store.load(connection, platform_id, [case_id], lock=True)[case_id]
    if found.ruling is None or mediator_id not in found.ruling.by:
        raise CaseNotFound("No case with this id was decided by you.")
    if found.stage not in TOLD:
        raise NotNowInCase("First both sides are told of the decision.", stage=found.stage)
    now = moment_on(connection, platform_id, hold=True)
    claimant = strikes.claimant_of(found)
    strikes.add(connection, found, claimant, mediator_id, reason, now)
    given = strikes.of_member(connection, platform_id, claimant)
    return next(one for one in given if one.case_id == case_id)


def lift(connection: Connection, supervisor_id: UUID, strike_id: UUID) -> Strike:
    """Take a strike back, as a supervisor of its platform; one that was lifted stays so.

    Raises:
        StrikeNotFound: there is none, or it is not theirs to supervise.
        SupervisorOnly: without the role.
    """
    platform_id, one = strikes.find(connection, strike_id)
    if queue.supervised(connection, supervisor_id, one.case_id) is None:
        raise strikes.StrikeNotFound("No strike with this id.")
    now = moment_on(connection, platform_id, hold=True)
    strikes.lift(connection, platform_id, strike_id, now, supervisor_id)
    return strikes.find(connection, strike_id)[1]
