-- The agreement between a payer and a payee. Columns mirror service/exchanges/model.py.
CREATE TABLE service.exchange (
    platform_id     uuid        NOT NULL,
    id              uuid        NOT NULL,
    kind            text        NOT NULL,
    state           text        NOT NULL,
    version         integer     NOT NULL,
    steps_version   integer     NOT NULL,
    payer_id        uuid        NOT NULL,
    payee_id        uuid        NOT NULL,
    external_id     text,
    proposed_by     text        NOT NULL,
    payer_agreed_at timestamptz,
    payee_agreed_at timestamptz,
    terms           jsonb       NOT NULL,
    terms_hash      text        NOT NULL,
    provider        text,
    proposed_at     timestamptz NOT NULL,
    agreed_at       timestamptz,
    funded_at       timestamptz,
    review_at       timestamptz,
    closed_at       timestamptz,
    proposal        jsonb,
    collect_id      uuid,
    fund_attempts   integer     NOT NULL DEFAULT 0,
    event_sequence  integer     NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL,
    CONSTRAINT pk_exchange PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_exchange_platform_id_external_id UNIQUE (platform_id, external_id),
    CONSTRAINT fk_exchange_platform_id_payer_id
        FOREIGN KEY (platform_id, payer_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT fk_exchange_platform_id_payee_id
        FOREIGN KEY (platform_id, payee_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_exchange_two_parties CHECK (payer_id <> payee_id),
    CONSTRAINT ck_exchange_sides CHECK (proposed_by IN ('payer', 'payee')),
    CONSTRAINT ck_exchange_state CHECK (state IN (
        'proposed', 'agreed', 'funding', 'active', 'in_review',
        'completed', 'settled', 'refunded', 'cancelled', 'declined', 'expired')),
    -- A state that money depends on cannot be reached without its facts.
    CONSTRAINT ck_exchange_agreed CHECK (
        state IN ('proposed', 'cancelled', 'declined', 'expired')
        OR (payer_agreed_at IS NOT NULL AND payee_agreed_at IS NOT NULL AND agreed_at IS NOT NULL)),
    CONSTRAINT ck_exchange_funded CHECK (
        state NOT IN ('active', 'in_review', 'completed', 'settled', 'refunded')
        OR funded_at IS NOT NULL),
    CONSTRAINT ck_exchange_closed CHECK (
        (closed_at IS NOT NULL) = (state IN (
            'completed', 'settled', 'refunded', 'cancelled', 'declined', 'expired')))
) WITH (fillfactor = 70);
CREATE INDEX ix_exchange_platform_id_payer_id ON service.exchange (platform_id, payer_id, id);
CREATE INDEX ix_exchange_platform_id_payee_id ON service.exchange (platform_id, payee_id, id);
CALL service.make_tenant_table('service.exchange', 'SELECT, INSERT, UPDATE');

-- Who and what an exchange is about never changes; its terms not after both have agreed. One that
-- has ended stays as it ended; only its event counter goes on, for payments that are still on their
-- way to the members.
CREATE FUNCTION service.keep_exchange() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.kind, OLD.steps_version, OLD.payer_id, OLD.payee_id, OLD.external_id, OLD.created_at)
       IS DISTINCT FROM
       (NEW.kind, NEW.steps_version, NEW.payer_id, NEW.payee_id, NEW.external_id, NEW.created_at)
    THEN
        RAISE EXCEPTION 'what exchange % is about cannot change', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.agreed_at IS NOT NULL AND
       (OLD.terms, OLD.terms_hash, OLD.provider, OLD.payer_agreed_at, OLD.payee_agreed_at,
        OLD.agreed_at, OLD.proposed_by, OLD.proposed_at) IS DISTINCT FROM
       (NEW.terms, NEW.terms_hash, NEW.provider, NEW.payer_agreed_at, NEW.payee_agreed_at,
        NEW.agreed_at, NEW.proposed_by, NEW.proposed_at) THEN
        RAISE EXCEPTION 'the terms of exchange % are frozen', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.funded_at IS NOT NULL AND OLD.funded_at IS DISTINCT FROM NEW.funded_at THEN
        RAISE EXCEPTION 'exchange % was funded once', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.closed_at IS NOT NULL
       AND (OLD.state, OLD.closed_at, OLD.terms_hash) IS DISTINCT FROM
           (NEW.state, NEW.closed_at, NEW.terms_hash) THEN
        RAISE EXCEPTION 'exchange % has ended as %', OLD.id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_exchange() OWNER TO tierce_owner;
CREATE TRIGGER keep_exchange BEFORE UPDATE ON service.exchange
    FOR EACH ROW EXECUTE FUNCTION service.keep_exchange();

-- One value flow. Its hold is the ledger account hold:{id}.
CREATE TABLE service.leg (
    platform_id uuid   NOT NULL,
    id          uuid   NOT NULL,
    exchange_id uuid   NOT NULL,
    position    smallint NOT NULL,
    role        text   NOT NULL,
    checkpoint  text   NOT NULL,
    amount      bigint NOT NULL,
    unit        text   NOT NULL,
    sort        text   NOT NULL,
    payer_fee   bigint NOT NULL,
    payee_fee   bigint NOT NULL,
    state       text   NOT NULL,
    to_payer    bigint,
    to_payee    bigint,
    to_fees     bigint,
    CONSTRAINT pk_leg PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_leg_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT ck_leg_role CHECK (role IN ('price', 'deposit')),
    CONSTRAINT ck_leg_sort CHECK (sort IN ('money', 'community')),
    CONSTRAINT ck_leg_state CHECK (state IN ('open', 'held', 'settled')),
    CONSTRAINT ck_leg_amounts CHECK (amount > 0 AND payer_fee >= 0
        AND payee_fee BETWEEN 0 AND amount),
    -- One terminal outcome, which shares out exactly what was held.
    CONSTRAINT ck_leg_outcome CHECK (
        CASE state WHEN 'settled'
            THEN to_payer >= 0 AND to_payee >= 0 AND to_fees >= 0
                 AND to_payer + to_payee + to_fees = amount + payer_fee
            ELSE to_payer IS NULL AND to_payee IS NULL AND to_fees IS NULL
        END IS TRUE)
);
CREATE INDEX ix_leg_platform_id_exchange_id ON service.leg (platform_id, exchange_id);
CALL service.make_tenant_table('service.leg', 'SELECT, INSERT, UPDATE');
-- A counter-offer replaces the legs of an exchange that nobody has agreed to in full yet.
GRANT DELETE ON service.leg TO tierce_runtime;

CREATE FUNCTION service.keep_leg() RETURNS trigger
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
    IF (OLD.exchange_id, OLD.position, OLD.role, OLD.checkpoint, OLD.sort, OLD.amount, OLD.unit,
        OLD.payer_fee, OLD.payee_fee) IS DISTINCT FROM
       (NEW.exchange_id, NEW.position, NEW.role, NEW.checkpoint, NEW.sort, NEW.amount, NEW.unit,
        NEW.payer_fee, NEW.payee_fee) THEN
        RAISE EXCEPTION 'what leg % is cannot change', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_leg() OWNER TO tierce_owner;
CREATE TRIGGER keep_leg BEFORE UPDATE OR DELETE ON service.leg
    FOR EACH ROW EXECUTE FUNCTION service.keep_leg();

-- A moment that both sides must confirm, and the hash of its hand-over code.
CREATE TABLE service.checkpoint (
    platform_id     uuid     NOT NULL,
    exchange_id     uuid     NOT NULL,
    position        smallint NOT NULL,
    name            text     NOT NULL,
    due_at          timestamptz,
    payer_at        timestamptz,
    payee_at        timestamptz,
    met_at          timestamptz,
    code_generation smallint,
    code_digest     bytea,
    code_tries      smallint NOT NULL DEFAULT 0,
    code_locked_at  timestamptz,
    CONSTRAINT pk_checkpoint PRIMARY KEY (platform_id, exchange_id, position),
    CONSTRAINT uq_checkpoint_platform_id_exchange_id_name UNIQUE (platform_id, exchange_id, name),
    CONSTRAINT fk_checkpoint_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    -- Met only when both sides have said so.
    CONSTRAINT ck_checkpoint_mutual CHECK (
        met_at IS NULL OR (payer_at IS NOT NULL AND payee_at IS NOT NULL)),
    CONSTRAINT ck_checkpoint_tries CHECK (code_tries BETWEEN 0 AND 5)
);
CALL service.make_tenant_table('service.checkpoint', 'SELECT, INSERT, UPDATE, DELETE');

-- Met is met, and a checkpoint of agreed terms is not removed. (A counter-offer replaces those of
-- an exchange that is not agreed yet.)
CREATE FUNCTION service.keep_checkpoint() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.met_at IS NOT NULL
       OR (TG_OP = 'DELETE' AND EXISTS (
            SELECT FROM service.exchange AS e WHERE e.platform_id = OLD.platform_id
            AND e.id = OLD.exchange_id AND e.agreed_at IS NOT NULL)) THEN
        RAISE EXCEPTION 'checkpoint % of exchange % stands', OLD.name, OLD.exchange_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
ALTER FUNCTION service.keep_checkpoint() OWNER TO tierce_owner;
CREATE TRIGGER keep_checkpoint BEFORE UPDATE OR DELETE ON service.checkpoint
    FOR EACH ROW EXECUTE FUNCTION service.keep_checkpoint();

-- A member's word on a checkpoint: an append-only fact.
CREATE TABLE service.confirmation (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    exchange_id uuid        NOT NULL,
    checkpoint  text        NOT NULL,
    role        text        NOT NULL,
    member_id   uuid        NOT NULL,
    word        text        NOT NULL,
    method      text        NOT NULL,
    via         text        NOT NULL,
    at          timestamptz NOT NULL,
    CONSTRAINT pk_confirmation PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_confirmation_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT fk_confirmation_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_confirmation_role CHECK (role IN ('payer', 'payee')),
    CONSTRAINT ck_confirmation_word CHECK (word IN ('confirmed', 'withdrawn')),
    CONSTRAINT ck_confirmation_method CHECK (method IN ('word', 'code'))
);
CREATE INDEX ix_confirmation_platform_id_exchange_id
    ON service.confirmation (platform_id, exchange_id, id);
CALL service.make_tenant_table('service.confirmation', 'SELECT, INSERT');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON service.confirmation
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- What time will do, one row a running deadline. Rewritten whenever the exchange moves.
CREATE TABLE service.timer (
    platform_id uuid        NOT NULL,
    exchange_id uuid        NOT NULL,
    step        text        NOT NULL,
    due_at      timestamptz NOT NULL,
    CONSTRAINT pk_timer PRIMARY KEY (platform_id, exchange_id, step),
    CONSTRAINT fk_timer_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id)
);
CREATE INDEX ix_timer_due_at ON service.timer (due_at);
CALL service.make_tenant_table('service.timer', 'SELECT, INSERT, UPDATE, DELETE');
