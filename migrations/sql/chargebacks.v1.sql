-- A payment that the payer's bank contests: a dispute that moves money, or a warning that none has yet.
CREATE TABLE service.chargeback (
    platform_id      uuid        NOT NULL,
    id               uuid        NOT NULL,
    provider         text        NOT NULL,
    ref              text        NOT NULL,
    kind             text        NOT NULL,
    payment_id       uuid        NOT NULL,
    exchange_id      uuid        NOT NULL,
    status           text        NOT NULL,
    amount           bigint      NOT NULL,
    unit             text        NOT NULL,
    reason           text        NOT NULL,
    due_by           timestamptz,
    -- Minor units that the bank has taken and not given back: the sum of the dispute's movements.
    withdrawn        bigint      NOT NULL DEFAULT 0,
    -- How many movements that sum has: a reading with fewer is older than what is known.
    lines            integer     NOT NULL DEFAULT 0,
    -- What the platform tells the bank beside what we know.
    own_words        text,
    -- What is to be told, or was: decided first, then asked of the provider, then taken or refused.
    evidence         jsonb,
    evidence_asked_at timestamptz,
    evidence_sent_at timestamptz,
    evidence_refused text,
    -- An inquiry that was answered may become a dispute, which wants its own answer.
    answered_as      text,
    -- Left to the bank without an answer, and why.
    left_reason      text,
    -- When the answer is tried next; until it was tried once: a day before due_by.
    answer_at        timestamptz,
    opened_at        timestamptz NOT NULL,
    closed_at        timestamptz,
    -- A warning lifted by the platform, and why.
    closed_reason    text,
    look_again_at    timestamptz,
    CONSTRAINT pk_chargeback PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_chargeback_platform_id_provider_ref UNIQUE (platform_id, provider, ref),
    CONSTRAINT fk_chargeback_platform_id_payment_id
        FOREIGN KEY (platform_id, payment_id) REFERENCES service.payment (platform_id, id),
    CONSTRAINT fk_chargeback_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT ck_chargeback_kind CHECK (kind IN ('dispute', 'warning')),
    CONSTRAINT ck_chargeback_status CHECK (status IN (
        'warning', 'needs_response', 'under_review', 'won', 'lost', 'closed')),
    CONSTRAINT ck_chargeback_closed CHECK (
        (closed_at IS NOT NULL) = (status IN ('won', 'lost', 'closed'))),
    CONSTRAINT ck_chargeback_amount CHECK (amount > 0 AND withdrawn >= 0),
    CONSTRAINT ck_chargeback_evidence CHECK ((evidence IS NULL) = (evidence_asked_at IS NULL)
        AND (evidence_sent_at IS NULL OR evidence IS NOT NULL)
        AND (evidence_sent_at IS NULL) = (answered_as IS NULL))
);
CREATE INDEX ix_chargeback_platform_id_exchange_id ON service.chargeback (platform_id, exchange_id);
CREATE INDEX ix_chargeback_look_again_at ON service.chargeback (look_again_at)
    WHERE look_again_at IS NOT NULL;
CREATE INDEX ix_chargeback_answer_at ON service.chargeback (answer_at)
    WHERE answer_at IS NOT NULL;
CREATE INDEX ix_chargeback_due_by ON service.chargeback (due_by)
    WHERE kind = 'dispute' AND status IN ('warning', 'needs_response');
CALL service.make_tenant_table('service.chargeback', 'SELECT, INSERT, UPDATE');

-- Refund and chargeback exclude each other (design rule 5): what a bank has taken of a collection
-- cannot be refunded, now or later.
CREATE FUNCTION service.keep_what_banks_took() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.refund_asked + (SELECT coalesce(sum(c.withdrawn), 0) FROM service.chargeback AS c
                           WHERE c.platform_id = NEW.platform_id AND c.payment_id = NEW.id)
       > coalesce(NEW.captured, NEW.amount) THEN
        RAISE EXCEPTION 'collection % is charged back: it cannot be refunded beside that', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_what_banks_took BEFORE UPDATE OF refund_asked ON service.payment
    FOR EACH ROW WHEN (NEW.refund_asked > OLD.refund_asked)
    EXECUTE FUNCTION service.keep_what_banks_took();
CREATE INDEX ix_chargeback_platform_id_payment_id ON service.chargeback (platform_id, payment_id);

CREATE INDEX ix_exchange_charged_back ON service.exchange (platform_id, id)
    WHERE charged_back > 0 AND closed_at IS NOT NULL;

-- The sandbox provider's disputes and warnings, to rehearse them. Nothing of ours refers to them.
CREATE TABLE service.sandbox_dispute (
    platform_id uuid        NOT NULL,
    ref         text        NOT NULL,
    kind        text        NOT NULL,
    collect_ref text        NOT NULL,
    status      text        NOT NULL,
    amount      bigint      NOT NULL,
    unit        text        NOT NULL,
    reason      text        NOT NULL,
    due_by      timestamptz,
    evidence    jsonb,
    -- Its lines in the sandbox's books: ref, amount, fee, at.
    movements   jsonb       NOT NULL DEFAULT '[]',
    CONSTRAINT pk_sandbox_dispute PRIMARY KEY (platform_id, ref)
);
CALL service.make_tenant_table('service.sandbox_dispute', 'SELECT, INSERT, UPDATE');

-- When the sandbox's events happened: they are listed from an instant on, delivered or not.
ALTER TABLE service.sandbox_event ADD COLUMN told_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX ix_sandbox_event_platform_id_told_at
    ON service.sandbox_event (platform_id, told_at, id);
