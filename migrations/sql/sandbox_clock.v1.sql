-- Each time that a sandbox's clock was moved: from when, to when it was asked, how far it came.
CREATE TABLE service.clock_advance (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    since       timestamptz NOT NULL,
    target      timestamptz NOT NULL,
    -- No event of this move was written by an older transaction.
    from_tx     xid8        NOT NULL,
    reached     timestamptz,
    CONSTRAINT pk_clock_advance PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_clock_advance_platform_id
        FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    CONSTRAINT ck_clock_advance_target CHECK (target > since)
);
CALL service.make_tenant_table('service.clock_advance', 'SELECT, INSERT, UPDATE');

-- What a member does by themselves on a sandbox: on one exchange, or on every one of a member's.
CREATE TABLE service.sandbox_script (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    name        text,
    exchange_id uuid,
    side        text,
    member_id   uuid,
    -- What is done in which order: step, how long after it can be done, and what it needs.
    acts        jsonb       NOT NULL,
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    CONSTRAINT pk_sandbox_script PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_sandbox_script_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT fk_sandbox_script_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_sandbox_script_side CHECK (side IN ('payer', 'payee')),
    CONSTRAINT ck_sandbox_script_whose CHECK (
        (exchange_id IS NULL) <> (member_id IS NULL) AND (exchange_id IS NULL OR side IS NOT NULL))
);
CREATE INDEX ix_sandbox_script_running ON service.sandbox_script (platform_id, member_id)
    WHERE ended_at IS NULL;
CALL service.make_tenant_table('service.sandbox_script', 'SELECT, INSERT, UPDATE');

-- A script at work on one exchange.
CREATE TABLE service.sandbox_part (
    platform_id uuid        NOT NULL,
    script_id   uuid        NOT NULL,
    exchange_id uuid        NOT NULL,
    side        text        NOT NULL,
    -- The act that comes next, when it is done (NULL: it cannot be done yet), and what the script
    -- has seen of the exchange: its last event.
    place       integer     NOT NULL DEFAULT 0,
    due_at      timestamptz,
    seen        integer     NOT NULL DEFAULT -1,
    since       timestamptz NOT NULL,
    -- What was done, in order: step, instant, and why it was refused, if it was.
    done        jsonb       NOT NULL DEFAULT '[]',
    ended_at    timestamptz,
    CONSTRAINT pk_sandbox_part PRIMARY KEY (platform_id, script_id, exchange_id),
    CONSTRAINT fk_sandbox_part_platform_id_script_id
        FOREIGN KEY (platform_id, script_id) REFERENCES service.sandbox_script (platform_id, id),
    CONSTRAINT fk_sandbox_part_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT ck_sandbox_part_side CHECK (side IN ('payer', 'payee'))
);
CREATE INDEX ix_sandbox_part_due_at ON service.sandbox_part (platform_id, due_at)
    WHERE ended_at IS NULL;
CALL service.make_tenant_table('service.sandbox_part', 'SELECT, INSERT, UPDATE');

-- Only a sandbox has scripts.
CREATE FUNCTION service.keep_script() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM service.platform AS p
                   WHERE p.id = NEW.platform_id AND p.mode = 'sandbox') THEN
        RAISE EXCEPTION 'platform % is no sandbox', NEW.platform_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_script() OWNER TO tierce_owner;
CREATE TRIGGER keep_script BEFORE INSERT ON service.sandbox_script
    FOR EACH ROW EXECUTE FUNCTION service.keep_script();
