-- The outbox: what happened, in the transaction in which it happened.
CREATE TABLE service.event (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    type        text        NOT NULL,
    exchange_id uuid,
    member_id   uuid,
    sequence    integer,
    data        jsonb       NOT NULL,
    at          timestamptz NOT NULL,
    -- Readers page by the writing transaction and stop before the oldest one still running, so
    -- that an event which commits late is never skipped.
    tx          xid8        NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT pk_event PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_event_platform_id_exchange_id_sequence
        UNIQUE (platform_id, exchange_id, sequence),
    CONSTRAINT ck_event_sequence CHECK ((exchange_id IS NULL) = (sequence IS NULL))
);
CREATE INDEX ix_event_platform_id_tx ON service.event (platform_id, tx, id);
CALL service.make_tenant_table('service.event', 'SELECT, INSERT');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON service.event
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();
