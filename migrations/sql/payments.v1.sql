-- What is asked of a payment provider: row first, then the call, then what it answered.
CREATE TABLE service.payment (
    platform_id     uuid        NOT NULL,
    id              uuid        NOT NULL,
    kind            text        NOT NULL,
    exchange_id     uuid,
    member_id       uuid        NOT NULL,
    provider        text        NOT NULL,
    amount          bigint      NOT NULL,
    unit            text        NOT NULL,
    collect_id      uuid,
    method          text,
    state           text        NOT NULL,
    provider_ref    text,
    next_action     jsonb,
    failure         text,
    cancel_wanted   boolean     NOT NULL DEFAULT false,
    refund_asked    bigint      NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0,
    look_again_at   timestamptz,
    created_at      timestamptz NOT NULL,
    settled_at      timestamptz,
    CONSTRAINT pk_payment PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_payment_platform_id_provider_provider_ref
        UNIQUE (platform_id, provider, provider_ref),
    CONSTRAINT fk_payment_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT fk_payment_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT fk_payment_platform_id_collect_id
        FOREIGN KEY (platform_id, collect_id) REFERENCES service.payment (platform_id, id),
    CONSTRAINT ck_payment_kind CHECK (kind IN ('collect', 'refund', 'payout')),
    CONSTRAINT ck_payment_state CHECK (
        state IN ('submitting', 'pending', 'requires_action', 'succeeded', 'failed', 'canceled')),
    CONSTRAINT ck_payment_amount CHECK (amount > 0),
    -- Only money goes through a provider; community units have four letters and more.
    CONSTRAINT ck_payment_unit CHECK (unit ~ '^[A-Z]{3}$'),
    CONSTRAINT ck_payment_settled CHECK (
        (settled_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'canceled'))),
    CONSTRAINT ck_payment_refund_of CHECK ((kind = 'refund') = (collect_id IS NOT NULL)),
    -- Refunds of a payment never sum to more than the payment.
    CONSTRAINT ck_payment_refund_asked CHECK (refund_asked BETWEEN 0 AND amount),
    -- What is settled is looked at no more; what is not, always will be.
    CONSTRAINT ck_payment_look_again CHECK (
        (look_again_at IS NULL) = (state IN ('succeeded', 'failed', 'canceled')))
) WITH (fillfactor = 70);
CREATE INDEX ix_payment_look_again_at ON service.payment (look_again_at)
    WHERE look_again_at IS NOT NULL;
CREATE INDEX ix_payment_platform_id_exchange_id ON service.payment (platform_id, exchange_id);
CREATE INDEX ix_payment_platform_id_member_id ON service.payment (platform_id, member_id, id);
CALL service.make_tenant_table('service.payment', 'SELECT, INSERT, UPDATE');

CREATE FUNCTION service.keep_settled_payment() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.settled_at IS NOT NULL AND (OLD.state, OLD.settled_at) IS DISTINCT FROM
       (NEW.state, NEW.settled_at) THEN
        RAISE EXCEPTION 'payment % is % for good', OLD.id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.kind, OLD.amount, OLD.unit, OLD.member_id, OLD.provider, OLD.exchange_id,
        OLD.collect_id, OLD.method, OLD.created_at) IS DISTINCT FROM
       (NEW.kind, NEW.amount, NEW.unit, NEW.member_id, NEW.provider, NEW.exchange_id,
        NEW.collect_id, NEW.method, NEW.created_at)
       OR NEW.refund_asked < OLD.refund_asked
       OR (OLD.provider_ref IS NOT NULL AND OLD.provider_ref IS DISTINCT FROM NEW.provider_ref)
    THEN
        RAISE EXCEPTION 'what payment % is for cannot change', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_settled_payment() OWNER TO tierce_owner;
CREATE TRIGGER keep_settled BEFORE UPDATE ON service.payment
    FOR EACH ROW EXECUTE FUNCTION service.keep_settled_payment();

-- The inbox: each event of a provider once, applied at our own pace by re-reading its object.
CREATE TABLE service.provider_event (
    platform_id uuid        NOT NULL,
    provider    text        NOT NULL,
    event_id    text        NOT NULL,
    kind        text        NOT NULL,
    object_ref  text        NOT NULL,
    received_at timestamptz NOT NULL,
    applied_at  timestamptz,
    attempts    integer     NOT NULL DEFAULT 0,
    try_at      timestamptz,
    note        text,
    CONSTRAINT pk_provider_event PRIMARY KEY (platform_id, provider, event_id),
    CONSTRAINT ck_provider_event_open CHECK ((applied_at IS NULL) = (try_at IS NOT NULL))
);
CREATE INDEX ix_provider_event_try_at ON service.provider_event (try_at)
    WHERE try_at IS NOT NULL;
CALL service.make_tenant_table('service.provider_event', 'SELECT, INSERT, UPDATE');

-- The sandbox provider's own memory. It stands for a company elsewhere: nothing of ours refers to
-- it, and it is only reached through the port, outside of our transactions.
CREATE TABLE service.sandbox_object (
    platform_id uuid        NOT NULL,
    ref         text        NOT NULL,
    kind        text        NOT NULL,
    request_key text        NOT NULL,
    request     jsonb       NOT NULL,
    amount      bigint      NOT NULL,
    unit        text        NOT NULL,
    status      text        NOT NULL,
    becomes     text,
    becomes_at  timestamptz,
    failure     text,
    of_ref      text,
    CONSTRAINT pk_sandbox_object PRIMARY KEY (platform_id, ref),
    CONSTRAINT uq_sandbox_object_platform_id_request_key UNIQUE (platform_id, request_key),
    CONSTRAINT ck_sandbox_object_becomes CHECK ((becomes IS NULL) = (becomes_at IS NULL))
);
CREATE INDEX ix_sandbox_object_becomes_at ON service.sandbox_object (becomes_at)
    WHERE becomes_at IS NOT NULL;
CALL service.make_tenant_table('service.sandbox_object', 'SELECT, INSERT, UPDATE');

CREATE TABLE service.sandbox_event (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    object_ref  text        NOT NULL,
    kind        text        NOT NULL,
    deliver_at  timestamptz,
    CONSTRAINT pk_sandbox_event PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_sandbox_event_platform_id_object_ref
        FOREIGN KEY (platform_id, object_ref)
        REFERENCES service.sandbox_object (platform_id, ref)
);
CREATE INDEX ix_sandbox_event_deliver_at ON service.sandbox_event (deliver_at)
    WHERE deliver_at IS NOT NULL;
CALL service.make_tenant_table('service.sandbox_event', 'SELECT, INSERT, UPDATE');
