-- Where a platform wants its events sent. A deleted endpoint leaves its row, without its secrets,
-- so that the log of what was sent to it stays readable.
CREATE TABLE service.webhook_endpoint (
    platform_id     uuid        NOT NULL,
    id              uuid        NOT NULL,
    url             text        NOT NULL,
    description     text        NOT NULL,
    -- Types of events, families such as exchange.*, or * for all.
    events          text[]      NOT NULL,
    -- One signing secret, or two while it is rotated, sealed under a key that is not in the
    -- database (service/events/secrets.py).
    secrets_sealed  bytea,
    created_at      timestamptz NOT NULL,
    -- Since when it takes events; NULL while it is disabled. What happens meanwhile is not sent,
    -- and can be replayed.
    enabled_at      timestamptz,
    disabled_at     timestamptz,
    disabled_reason text,
    deleted_at      timestamptz,
    -- Since when every attempt has failed; NULL after one that did not.
    failing_since   timestamptz,
    warned_at       timestamptz,
    -- It asked for less: nothing is sent to it before.
    held_until      timestamptz,
    CONSTRAINT pk_webhook_endpoint PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_webhook_endpoint_platform_id
        FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    CONSTRAINT ck_webhook_endpoint_events CHECK (cardinality(events) > 0),
    CONSTRAINT ck_webhook_endpoint_disabled_reason
        CHECK (disabled_reason IN ('by_platform', 'gone', 'failing')),
    CONSTRAINT ck_webhook_endpoint_disabled
        CHECK ((enabled_at IS NULL) = (disabled_at IS NOT NULL)
           AND (disabled_at IS NULL) = (disabled_reason IS NULL)),
    CONSTRAINT ck_webhook_endpoint_deleted
        CHECK ((deleted_at IS NULL) = (secrets_sealed IS NOT NULL)
           AND (deleted_at IS NULL OR enabled_at IS NULL))
);
CREATE INDEX ix_webhook_endpoint_enabled_at ON service.webhook_endpoint (enabled_at)
    WHERE enabled_at IS NOT NULL;
CALL service.make_tenant_table('service.webhook_endpoint', 'SELECT, INSERT, UPDATE');

-- One row for each event and endpoint that is to hear of it.
CREATE TABLE service.webhook_delivery (
    platform_id uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    type        text        NOT NULL,
    exchange_id uuid,
    sequence    integer,
    state       text        NOT NULL,
    -- In real time: when it is to be sent, or, while it is being sent, when whoever took it has
    -- died and another may. NULL while its endpoint is disabled.
    next_at     timestamptz,
    -- How often it was taken, ever: the number of its last attempt.
    taken       integer     NOT NULL DEFAULT 0,
    -- How often it failed since it was last asked for: its step on the ladder.
    failures    integer     NOT NULL DEFAULT 0,
    replays     integer     NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    CONSTRAINT pk_webhook_delivery PRIMARY KEY (platform_id, endpoint_id, event_id),
    CONSTRAINT fk_webhook_delivery_platform_id_endpoint_id
        FOREIGN KEY (platform_id, endpoint_id)
        REFERENCES service.webhook_endpoint (platform_id, id),
    CONSTRAINT fk_webhook_delivery_platform_id_event_id
        FOREIGN KEY (platform_id, event_id) REFERENCES service.event (platform_id, id),
    CONSTRAINT ck_webhook_delivery_state
        CHECK (state IN ('waiting', 'delivered', 'failed', 'canceled')),
    CONSTRAINT ck_webhook_delivery_sequence CHECK ((exchange_id IS NULL) = (sequence IS NULL)),
    CONSTRAINT ck_webhook_delivery_next_at CHECK (state = 'waiting' OR next_at IS NULL),
    CONSTRAINT ck_webhook_delivery_ended_at CHECK ((state = 'waiting') = (ended_at IS NULL))
);
-- Is anything due at all?
CREATE INDEX ix_webhook_delivery_next_at ON service.webhook_delivery (next_at)
    WHERE next_at IS NOT NULL;
-- What is due at one endpoint.
CREATE INDEX ix_webhook_delivery_due
    ON service.webhook_delivery (platform_id, endpoint_id, next_at, event_id)
    WHERE state = 'waiting';
-- What of one exchange an endpoint has not had yet.
CREATE INDEX ix_webhook_delivery_order
    ON service.webhook_delivery (platform_id, endpoint_id, exchange_id, sequence)
    WHERE state = 'waiting' AND exchange_id IS NOT NULL;
CREATE INDEX ix_webhook_delivery_failed
    ON service.webhook_delivery (platform_id, endpoint_id, event_id) WHERE state = 'failed';
CALL service.make_tenant_table('service.webhook_delivery', 'SELECT, INSERT, UPDATE');

-- Every attempt that was made, as it came out. An attempt whose number is missing was taken by a
-- process that died before it could say.
CREATE TABLE service.webhook_attempt (
    platform_id uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    event_id    uuid        NOT NULL,
    number      integer     NOT NULL,
    at          timestamptz NOT NULL,
    -- The status of the answer, or why there was none.
    status      integer,
    error       text,
    duration_ms integer     NOT NULL,
    -- The first bytes of the answer, as text.
    answer      text,
    CONSTRAINT pk_webhook_attempt PRIMARY KEY (platform_id, endpoint_id, event_id, number),
    CONSTRAINT fk_webhook_attempt_delivery
        FOREIGN KEY (platform_id, endpoint_id, event_id)
        REFERENCES service.webhook_delivery (platform_id, endpoint_id, event_id),
    CONSTRAINT ck_webhook_attempt_came_out CHECK (status IS NOT NULL OR error IS NOT NULL)
);
CALL service.make_tenant_table('service.webhook_attempt', 'SELECT, INSERT');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON service.webhook_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();
