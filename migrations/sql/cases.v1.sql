-- A dispute and where it stands; columns mirror disputes/model.py. The subject is known by its id.
CREATE TABLE disputes.case (
    platform_id  uuid        NOT NULL,
    id           uuid        NOT NULL,
    subject_id   uuid        NOT NULL,
    kind         text        NOT NULL,
    cause        text        NOT NULL,
    reason       text        NOT NULL,
    claimant     text,
    payer_id     uuid        NOT NULL,
    payee_id     uuid        NOT NULL,
    -- What is disputed: [{"id": …, "unit": …, "amount": minor units}].
    lines        jsonb       NOT NULL,
    stage        text        NOT NULL,
    stage_since  timestamptz NOT NULL,
    due_at       timestamptz,
    decide_by    timestamptz NOT NULL,
    opened_at    timestamptz NOT NULL,
    version      integer     NOT NULL,
    file         jsonb       NOT NULL,
    file_hash    text        NOT NULL,
    gentle       boolean     NOT NULL,
    mediator_id  uuid,
    second_id    uuid,
    left_ids     uuid[]      NOT NULL,
    offer        jsonb,
    proposal     jsonb,
    ruling       jsonb,
    appeal       jsonb,
    outcome      text,
    settlement   jsonb,
    closed_at    timestamptz,
    challenges   jsonb       NOT NULL,
    returned_at  timestamptz,
    entries      integer     NOT NULL,
    CONSTRAINT pk_case PRIMARY KEY (platform_id, id),
    CONSTRAINT ck_case_cause CHECK (cause IN ('claim', 'silence', 'chargeback', 'fraud')),
    CONSTRAINT ck_case_claimant CHECK (claimant IN ('payer', 'payee')),
    CONSTRAINT ck_case_stage CHECK (stage IN ('talk', 'mediation', 'decision', 'second_look',
        'appealable', 'appeal', 'returning', 'repairing', 'closed')),
    -- No open case without a deadline, and none beyond it.
    CONSTRAINT ck_case_due_at CHECK ((stage = 'closed') = (due_at IS NULL)),
    CONSTRAINT ck_case_closed_at CHECK ((stage = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT ck_case_outcome CHECK (stage <> 'closed' OR outcome IS NOT NULL),
    CONSTRAINT ck_case_two_people CHECK (second_id IS DISTINCT FROM mediator_id OR second_id IS NULL)
);
-- One open case for each subject.
CREATE UNIQUE INDEX uq_case_open ON disputes.case (platform_id, subject_id) WHERE closed_at IS NULL;
CREATE INDEX ix_case_subject ON disputes.case (platform_id, subject_id, id);
CREATE INDEX ix_case_payer_id ON disputes.case (platform_id, payer_id, id);
CREATE INDEX ix_case_payee_id ON disputes.case (platform_id, payee_id, id);
CREATE INDEX ix_case_due_at ON disputes.case (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_case_mediator_id ON disputes.case (mediator_id, due_at) WHERE closed_at IS NULL;
CALL service.make_tenant_table('disputes.case', 'SELECT, INSERT, UPDATE');

-- What a case is about never changes, and a closed one not at all.
CREATE FUNCTION disputes.keep_case() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.closed_at IS NOT NULL
       OR (OLD.subject_id, OLD.kind, OLD.cause, OLD.reason, OLD.payer_id, OLD.payee_id, OLD.lines,
           OLD.decide_by, OLD.opened_at, OLD.file, OLD.file_hash)
          IS DISTINCT FROM
          (NEW.subject_id, NEW.kind, NEW.cause, NEW.reason, NEW.payer_id, NEW.payee_id, NEW.lines,
           NEW.decide_by, NEW.opened_at, NEW.file, NEW.file_hash) THEN
        RAISE EXCEPTION 'what case % is about stands', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION disputes.keep_case() OWNER TO tierce_owner;
CREATE TRIGGER keep_case BEFORE UPDATE ON disputes.case
    FOR EACH ROW EXECUTE FUNCTION disputes.keep_case();

-- The journal: what happened in a case, by whom, each line chained to the one before by its hash.
CREATE TABLE disputes.entry (
    platform_id uuid        NOT NULL,
    case_id     uuid        NOT NULL,
    sequence    integer     NOT NULL,
    at          timestamptz NOT NULL,
    type        text        NOT NULL,
    actor       text        NOT NULL,
    data        jsonb       NOT NULL,
    previous    bytea       NOT NULL,
    hash        bytea       NOT NULL,
    CONSTRAINT pk_entry PRIMARY KEY (platform_id, case_id, sequence),
    CONSTRAINT fk_entry_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id),
    CONSTRAINT ck_entry_sequence CHECK (sequence > 0),
    CONSTRAINT ck_entry_hashes CHECK (octet_length(previous) = 32 AND octet_length(hash) = 32)
);
CALL service.make_tenant_table('disputes.entry', 'SELECT, INSERT');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON disputes.entry
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- What joins a case to an exchange. Which case an exchange is in, how far its journal has been told
-- to the platform, and what was decided while a bank contested the payment ({leg: minor units}).
ALTER TABLE service.exchange
    ADD COLUMN case_id uuid,
    ADD COLUMN case_told integer NOT NULL DEFAULT 0,
    ADD COLUMN award jsonb,
    ADD CONSTRAINT fk_exchange_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT ck_exchange_case CHECK (
        case_id IS NULL OR (state IN ('active', 'in_review') AND closed_at IS NULL)),
    ADD CONSTRAINT ck_exchange_award CHECK (award IS NULL OR case_id IS NOT NULL);
CREATE INDEX ix_exchange_case_id ON service.exchange (platform_id, case_id)
    WHERE case_id IS NOT NULL;

-- Disputed value moves by the outcome of its case alone.
ALTER TABLE service.leg
    ADD COLUMN disputed boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT ck_leg_disputed CHECK (NOT disputed OR state = 'held');

-- A claim about a part of a leg makes two of it: while it is held, a leg may shrink by what another
-- takes over. That the holds have what the legs say is what the audit proves, and no hold can fall
-- below zero.
CREATE OR REPLACE FUNCTION service.keep_leg() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'open' OR EXISTS (
            SELECT FROM service.exchange AS e WHERE e.platform_id = OLD.platform_id
            AND e.id = OLD.exchange_id AND e.agreed_at IS NOT NULL) THEN
            RAISE EXCEPTION 'leg % is %, it cannot be removed', OLD.id, OLD.state
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.state = 'settled' THEN
        RAISE EXCEPTION 'leg % has had its one outcome', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'held' AND NEW.state = 'open' AND OLD.sort = 'money' THEN
        RAISE EXCEPTION 'money of leg % is held until its outcome', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.exchange_id, OLD.position, OLD.role, OLD.checkpoint, OLD.sort, OLD.unit) IS DISTINCT FROM
       (NEW.exchange_id, NEW.position, NEW.role, NEW.checkpoint, NEW.sort, NEW.unit)
       OR ((OLD.amount, OLD.payer_fee, OLD.payee_fee) IS DISTINCT FROM
           (NEW.amount, NEW.payer_fee, NEW.payee_fee)
           AND (OLD.state <> 'held' OR OLD.disputed OR NEW.amount >= OLD.amount
                OR NEW.payer_fee > OLD.payer_fee OR NEW.payee_fee > OLD.payee_fee)) THEN
        RAISE EXCEPTION 'what leg % is cannot change', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_leg() OWNER TO tierce_owner;

-- A checkpoint is met by both words, or by the decision of a case.
ALTER TABLE service.checkpoint
    ADD COLUMN case_id uuid,
    ADD CONSTRAINT fk_checkpoint_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id),
    DROP CONSTRAINT ck_checkpoint_mutual,
    ADD CONSTRAINT ck_checkpoint_mutual CHECK (
        met_at IS NULL OR case_id IS NOT NULL OR (payer_at IS NOT NULL AND payee_at IS NOT NULL));

-- The hash of the card or account that was paid with: whoever decides a case shares none with a side.
ALTER TABLE service.payment
    ADD COLUMN instrument bytea,
    ADD CONSTRAINT ck_payment_instrument CHECK (octet_length(instrument) = 32);

-- Somebody who has help: whoever deals with them has more time to give.
ALTER TABLE service.member ADD COLUMN assisted boolean NOT NULL DEFAULT false;
