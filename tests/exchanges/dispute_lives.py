"""Disputes lived at random on a platform of their own, and what must be true after each step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from disputes import hand_over, journal, mediators, queue, reasons, store
from disputes.hand_over import NotAvailable
from disputes.model import Case, Extra, Stage
from disputes.outcomes import AGREEABLE, Outcome, Side
from disputes.recusal import Tie, TieKind
from disputes.steps import STEPS, By
from ledger.accounts import balance
from ledger.refusals import Refusal
from service.exchanges import advance, cases
from service.exchanges import store as exchanges
from service.exchanges.commands import ClaimDraft, Command, Who
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, LegState
from service.payments.sandbox_disputes import DISPUTE_FEE, Kind
from tests.disputes.people import People
from tests.exchanges.contested_world import ContestedWorld
from tests.exchanges.court import REASONS, Court, seats
from tests.exchanges.dispute_oracle import Dispute, Life, Shares, Word

SHAPES: Final = {
    "sale": [("price", "handover")],
    "rental": [("price", "handover"), ("deposit", "return")],
    "service": [("price", "first"), ("price", "second")],
    "help": [("price", "done")],
    "mixed": [("price", "done"), ("price", "done")],
}
#: From the smallest part there is to what is read by a second person and heard by three.
MONEY: Final = (1, 2, 3, 199, 200, 6_501, 20_000, 50_001)
HOURS: Final = (1, 3, 150, 1_000)
BANKS: Final[tuple[Kind, ...]] = ("warning", "inquiry", "dispute")
CURRENCIES: Final = ("EUR", "JPY")
_OF_MEMBERS: Final = frozenset({By.PARTY, By.CLAIMANT, By.OFFERER, By.OFFEREE, By.PAYER, By.PAYEE})
_NEUTRAL: Final = frozenset({Stage.MEDIATION, Stage.DECISION, Stage.SECOND_LOOK, Stage.APPEAL})
_BEFORE_THE_LIMIT: Final = frozenset(
    {Stage.TALK, Stage.MEDIATION, Stage.DECISION, Stage.SECOND_LOOK}
)
#: What those who have a case do, the likelier the more often it stands here.
_OF_NEUTRALS: Final = {
    Stage.MEDIATION: ("propose", "propose", "decide", "lift_flag", "decline"),
    Stage.DECISION: ("decide", "decide", "decide", "lift_flag", "decline"),
    Stage.SECOND_LOOK: ("agree_with", "agree_with", "send_back", "decline"),
    Stage.APPEAL: ("vote", "vote", "vote", "vote", "decline"),
}


class DisputeLives:
    """A few exchanges, their people, and those who decide; each step is told to the oracle."""

    def __init__(self, engine: Engine, platform_id: UUID, seed: int) -> None:
        self.random = Random(seed)
        self.world = ContestedWorld(engine, platform_id)
        self.court = Court(self.world, People(engine, platform_id))
        self.neutrals = [self.court.people.join() for _ in range(self.random.choice((0, 2, 5, 9)))]
        self.lives: list[Life] = []
        self.exchanges: dict[UUID, Exchange] = {}
        self.open: list[tuple[Life, Case]] = []
        for _ in range(3):
            self._begin()
        self.look()

    def step(self) -> None:
        """Let somebody try something."""
        if self.open and self.random.random() < 0.8:
            life, case = self.random.choice(self.open)
            if case.stage in _NEUTRAL and self.random.random() < 0.6:
                self._neutral(life, case)
            else:
                self._party(life, case)
        else:
            life = self.random.choice(self.lives)
            act = self.random.choice(
                (self._claim, self._claim, self._flag, self._bank, self._confirm, self._desk)
            )
            act(life)
        self.everything_holds()

    def pass_time(self, **length: float) -> None:
        """Let time pass, and look after each instant at which something happened."""
        self.court.until(self.world.now + timedelta(**length), self.look)
        self.world.sweep()
        self.everything_holds()

    def end(self) -> None:
        """Whatever happened, it ends by itself, and everybody has what is theirs."""
        world = self.world
        for life in self.lives:
            row = self._contested(life)
            if row is not None and row["kind"] != "warning":
                world.decide(row, self.random.choice(("won", "lost")))
        self.pass_time(days=100)
        with self.court.people.inside() as connection:
            got = self._paid(connection)
        for life in self.lives:
            exchange = self.exchanges[life.exchange_id]
            assert (exchange.closed_at is None, exchange.case_id) == (False, None)
            assert all(one.closed for one in life.disputes)
            if life.banked:
                continue
            shares = [leg.share for leg in exchange.legs if leg.sort == "money" and leg.share]
            assert got[exchange.id, life.payer] == sum(one.to_payer for one in shares)
            assert got[exchange.id, life.payee] == sum(one.to_payee for one in shares)

    # What is disputed.

    def _begin(self) -> None:
        world, random = self.world, self.random
        kind, currency = random.choice(sorted(SHAPES)), random.choice(CURRENCIES)
        world.payer, world.payee = world.member(), world.member()
        legs = []
        for index, (role, point) in enumerate(SHAPES[kind]):
            in_hours = kind == "help" or (kind == "mixed" and index == 1)
            amount = random.choice(HOURS if in_hours else MONEY)
            legs.append((role, amount, "HOURS" if in_hours else currency, point))
        points = ("first", "second") if kind == "service" else ()
        more = {"deposit": "capture"} if kind == "rental" else {}
        exchange = world.funded(world.propose(world.draft(kind, legs, checkpoints=points, **more)))
        found = {leg.id: (str(leg.role), leg.unit, leg.amount) for leg in exchange.legs}
        assert [(one[0], one[2], one[1]) for one in found.values()] == [leg[:3] for leg in legs]
        self.lives.append(Life(exchange.id, world.payer, world.payee, kind, found))
        self._claim(self.lives[-1])

    def _claim(self, life: Life) -> None:
        random, side = self.random, self.random.choice(list(Side))
        reason = random.choice(reasons.open_to(life.kind, side))
        parts: Shares = {}
        for leg in self.world.exchange(life.exchange_id).held_legs:
            if random.random() < 0.3:
                parts[leg.id] = random.choice((1, leg.amount, random.randint(1, leg.amount)))
        answers = dict.fromkeys(reasons.REASONS[reason].questions, "…")
        draft = ClaimDraft(reason, tuple(parts), parts, answers, "", random.random() < 0.2)
        if not self._take(life, "claim", side, claim=draft) or not parts:
            return
        legs = self.world.exchange(life.exchange_id).legs
        disputed = life.divide(
            parts, {leg.id: leg.amount for leg in legs if leg.id not in life.legs}
        )
        assert {leg.id: leg.amount for leg in legs if leg.disputed} == disputed
        if side is Side.PAYEE:  # nobody disputes that the rest of a deposit goes home
            cut = set(parts) - set(disputed)
            life.decided |= {leg: 0 for leg in cut if life.legs[leg][0] == "deposit"}

    def _flag(self, life: Life) -> None:
        draft = ClaimDraft("pressure_or_scam", text="Three payments within a minute.")
        self._take(life, "flag", None, claim=draft)

    def _bank(self, life: Life) -> None:
        """Let a bank contest what was paid, once, or decide what it contests."""
        exchange, row = self.exchanges[life.exchange_id], self._contested(life)
        if row is not None and row["kind"] != "warning":
            self.world.decide(row, self.random.choice(("won", "lost")))
        elif row is None and any(leg.sort == "money" for leg in exchange.held_legs):
            kind = self.random.choice(BANKS)
            if not life.banked:
                life.banked = kind != "warning"
                self.world.contest(exchange, kind=kind)

    def _confirm(self, life: Life) -> None:
        current = self.exchanges[life.exchange_id].current
        name = current.name if current is not None else "none"
        self._take(life, "confirm", self.random.choice(list(Side)), checkpoint=name)

    def _desk(self, life: Life) -> None:
        what = self.random.choice(("join", "draw", "claim next", "tie"))
        if what == "join" or not self.neutrals:
            self.neutrals.append(self.court.people.join())
        elif what == "draw":
            self.court.find_people()
        else:
            who = self.random.choice(self.neutrals)
            tie = Tie(TieKind.HELPER, self.world.platform_id, life.payee)
            with self.court.people.everywhere() as connection, suppress(NotAvailable):
                if what == "tie":
                    mediators.declare(connection, who, tie, "their garden", self.world.now)
                else:
                    hand_over.claim_next(connection, who, self.world.now)

    # What the people of a case do.

    def _party(self, life: Life, case: Case) -> None:
        names = [one.name for one in STEPS if case.stage in one.from_ and one.by in _OF_MEMBERS]
        step, side = self.random.choice(names), self.random.choice(list(Side))
        if case.offer is not None and self.random.random() < 0.3:
            step, side = "accept_offer", case.offer.by.other
        elif case.proposal is not None and self.random.random() < 0.6:
            step = "accept_proposal"
        dispute, more = life.disputes[-1], dict[str, Any]()
        word = self._word(case, AGREEABLE) if step == "make_offer" else None
        if word is not None:
            if word.outcome == "split" and self.random.random() < 0.5:
                word.extra = (str(side), self.random.choice(HOURS))
                more["extra"] = Extra(side, "HOURS", word.extra[1])
            more |= {"outcome": Outcome(word.outcome), "split": word.split}
        about = {"offer": case.offer, "proposal": case.proposal}.get(step.rpartition("_")[2])
        done = self._act(
            case,
            step,
            member_id=life.payer if side is Side.PAYER else life.payee,
            about=None if about is None else about.id,
            text="A word about it.",
            reason_code="procedure",
            **more,
        )
        if done is None:
            return
        if step == "make_offer":
            dispute.offer = word
        elif step in {"appeal", "challenge"}:
            dispute.votes = {}
        elif step == "accept_offer" and dispute.offer is not None and dispute.offer.extra:
            by, hours = dispute.offer.extra
            life.beside += hours if by == "payee" else -hours

    def _neutral(self, life: Life, case: Case) -> None:
        people, step = seats(case), self.random.choice(_OF_NEUTRALS[case.stage])
        if not people:
            self._desk(life)
            return
        who, dispute = self.random.choice(people), life.disputes[-1]
        if step == "decline":
            self._decline(case, who)
            return
        more, word = dict[str, Any](), None
        if step in {"propose", "decide", "vote"}:
            reason = reasons.REASONS.get(case.reason, reasons.SILENCE)
            word = self._word(case, AGREEABLE if step == "propose" else reason.outcomes)
            more = {"outcome": Outcome(word.outcome), "split": word.split}
        done = self._act(case, step, mediator_id=who, text=REASONS, reason_code="evidence", **more)
        if done is None:
            return
        if step == "propose":
            dispute.proposal = word
        elif step == "decide":
            dispute.ruling = word
        elif step == "vote" and word is not None:
            dispute.panel = int(case.file["panel"])
            dispute.votes[who] = word

    def _decline(self, case: Case, who: UUID) -> None:
        seed, world = self.random.randbytes(32), self.world
        with self.court.people.inside() as connection, suppress(Refusal):
            hand_over.decline(
                connection, world.platform_id, case.id, who, "My knee.", seed, world.now
            )
            cases.tell(connection, world.platform_id, [case.id], world.rules)

    def _word(self, case: Case, open_to: Collection[Outcome]) -> Word:
        outcome = self.random.choice(sorted(open_to))
        if outcome is not Outcome.SPLIT:
            return Word(str(outcome))
        split = {
            line.id: self.random.choice((0, 1, line.amount, self.random.randint(0, line.amount)))
            for line in case.lines
        }
        return Word("split", split)

    def _act(self, case: Case, step: str, **more: Any) -> Case | None:
        """Take a step of a case; None when it is refused, and then nothing has changed."""
        before = self.world.exchange(case.subject_id)
        try:
            return self.court.take(case, step, **more)
        except Refusal:
            with self.court.people.inside() as connection:
                assert cases.find(connection, self.world.platform_id, case.id) == case
            assert self.world.exchange(case.subject_id) == before
            return None

    def _take(self, life: Life, step: str, side: Side | None, **more: Any) -> bool:
        """Take a step of an exchange; False when it is refused, and then nothing has changed."""
        before = self.world.exchange(life.exchange_id)
        who = Who(None, "platform") if side is None else Who(before.member(Role(side)), "member")
        command = Command(before.id, step, who, **more)
        with self.court.people.inside() as connection:
            wanted = (connection, self.world.platform_id, [command], self.world.rules)
            (done,) = advance.advance(*wanted)
        if isinstance(done, Refusal):
            assert self.world.exchange(life.exchange_id) == before
            return False
        return True

    def _contested(self, life: Life) -> RowMapping | None:
        rows = self.world.chargebacks(self.world.exchange(life.exchange_id))
        rows = [row for row in rows if row["closed_at"] is None]
        return rows[-1] if rows else None

    # What must be true after each of it.

    def everything_holds(self) -> None:
        """Fail unless audits are clean, all value is there, and every case has owner and end."""
        self.world.check()
        self.look()

    def look(self) -> None:
        """Look at every exchange and case, and tell the oracle which cases there are."""
        self.court.fire()
        self.open, platform_id = [], self.world.platform_id
        with self.court.people.inside() as connection:
            subjects = [life.exchange_id for life in self.lives]
            self.exchanges = exchanges.load(connection, platform_id, subjects, lock=False)
            query = text("SELECT id FROM disputes.case ORDER BY id")
            found = store.load(connection, platform_id, connection.scalars(query).all(), lock=False)
            waiting = {one for _, one in queue.waiting(connection, 100, [platform_id])}
            query = text(
                "SELECT case_id, mediator_id FROM disputes.assignment WHERE ended_at IS NULL"
            )
            given = {(row.case_id, row.mediator_id) for row in connection.execute(query)}
            for life in self.lives:
                of_life = [one for one in found.values() if one.subject_id == life.exchange_id]
                for case in sorted(of_life, key=lambda one: one.opened_at):
                    self._look_at_case(connection, life, case)
                    if case.closed_at is None and case.stage in _NEUTRAL:
                        people = {(case.id, one) for one in seats(case)}
                        assert people <= given, "on the case, and nobody gave it to them"
                        assert people or case.id in waiting, "nobody will find it"
                self._look_at_legs(connection, life)
            self._count(connection)

    def _look_at_case(self, connection: Connection, life: Life, case: Case) -> None:
        lines = {line.id: line.amount for line in case.lines}
        if case.id not in {one.id for one in life.disputes}:
            assert {leg: life.legs[leg][2] for leg in lines} == lines
            life.disputes.append(Dispute(case.id, case.reason, lines))
        dispute = next(one for one in life.disputes if one.id == case.id)
        if case.closed_at is None:
            assert self.exchanges[life.exchange_id].case_id == case.id
            limits = [case.due_at] + [case.decide_by] * (case.stage in _BEFORE_THE_LIMIT)
            assert min(limits) > self.world.now, "it waits for a time that is over"
            self.open.append((life, case))
            if case.appeal is not None:  # whoever left took their vote with them
                stay = set(dispute.votes) & set(case.appeal.panel)
                dispute.votes = {one: dispute.votes[one] for one in stay}
        elif not dispute.closed:
            dispute.closed = True
            said = [one.type for one in journal.read(connection, case.platform_id, case.id)]
            expected = dispute.expected(said)
            assert case.settlement == expected
            life.decided |= expected or {}

    def _look_at_legs(self, connection: Connection, life: Life) -> None:
        exchange = self.exchanges[life.exchange_id]
        assert {leg.id for leg in exchange.legs} == set(life.legs)
        for leg in exchange.legs:
            amount = life.legs[leg.id][2]
            assert leg.amount == amount
            if leg.state is LegState.SETTLED:
                assert leg.share is not None
                assert leg.share.to_payer + leg.share.to_payee == amount
                if not life.banked:
                    ends = {life.decided[leg.id]} if leg.id in life.decided else {0, amount}
                    assert leg.share.to_payee in ends
            else:
                assert leg.id not in life.decided or exchange.frozen_at is not None
                hold = balance(connection, exchange.platform_id, f"hold:{leg.id}", leg.unit)
                assert hold == amount

    def _count(self, connection: Connection) -> None:
        """Every minor unit of money is at the provider, with a member or with a bank."""
        platform_id = self.world.platform_id
        query = text(
            "SELECT unit, "
            "sum(CASE kind WHEN 'collect' THEN amount ELSE -amount END)::bigint AS net "
            "FROM service.payment WHERE state = 'succeeded' GROUP BY unit"
        )
        wanted = defaultdict(int, {row.unit: row.net for row in connection.execute(query)})
        for row in connection.execute(text("SELECT * FROM service.chargeback")):
            wanted[row.unit] -= row.withdrawn + DISPUTE_FEE * (row.lines > 0)
        for unit in CURRENCIES:
            assert -balance(connection, platform_id, "provider:sandbox", unit) == wanted[unit]
        for life in self.lives:
            hours = [one for one in self.exchanges[life.exchange_id].legs if one.unit == "HOURS"]
            held = sum(leg.amount for leg in hours if leg.state is not LegState.SETTLED)
            got = sum(leg.share.to_payee for leg in hours if leg.share is not None)
            for who, theirs in (
                (life.payee, got - life.beside),
                (life.payer, life.beside - got - held),
            ):
                assert balance(connection, platform_id, f"member:{who}", "HOURS") == theirs

    def _paid(self, connection: Connection) -> dict[tuple[UUID, UUID], int]:
        """What was paid to whom for which exchange."""
        query = text(
            "SELECT exchange_id, member_id, sum(amount)::bigint AS paid FROM service.payment "
            "WHERE state = 'succeeded' AND kind <> 'collect' GROUP BY exchange_id, member_id"
        )
        rows = connection.execute(query).all()
        return defaultdict(int, {(row.exchange_id, row.member_id): row.paid for row in rows})
