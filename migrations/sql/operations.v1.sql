-- What an instance needs to be run: work that was given up, who is alive, and when we were away.

-- How often in a row a row's work failed for no reason of the outside's. After a few times it is
-- left alone (its due date goes to the year 9999) and stands as a dead letter.
ALTER TABLE service.timer ADD COLUMN failures smallint NOT NULL DEFAULT 0;
ALTER TABLE service.payment ADD COLUMN failures smallint NOT NULL DEFAULT 0;
ALTER TABLE service.provider_event ADD COLUMN failures smallint NOT NULL DEFAULT 0;

-- Work that was given up: it is shown with its error, and can be taken up again.
CREATE TABLE service.dead_letter (
    platform_id     uuid        NOT NULL,
    id              uuid        NOT NULL,
    -- timer, payment, provider_event, webhook, message, script
    work            text        NOT NULL,
    -- Names the row of that work, such as {"payment": "pay_…"}.
    subject         jsonb       NOT NULL,
    error           text        NOT NULL,
    attempts        integer     NOT NULL,
    first_failed_at timestamptz NOT NULL,
    died_at         timestamptz NOT NULL,
    resolved_at     timestamptz,
    resolution      text,
    CONSTRAINT pk_dead_letter PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_dead_letter_platform_id
        FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    CONSTRAINT ck_dead_letter_attempts CHECK (attempts > 0),
    -- retried: its row is due again; gone: there was nothing left to do.
    CONSTRAINT ck_dead_letter_resolution CHECK (resolution IN ('retried', 'gone')),
    CONSTRAINT ck_dead_letter_resolved CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);
-- One open letter for each row of work.
CREATE UNIQUE INDEX uq_dead_letter_open ON service.dead_letter (platform_id, work, subject)
    WHERE resolved_at IS NULL;
CREATE INDEX ix_dead_letter_id ON service.dead_letter (id);
CALL service.make_tenant_table('service.dead_letter', 'SELECT, INSERT, UPDATE');

-- When each process was last seen. One that is gone leaves its row until it is swept away.
CREATE TABLE service.heartbeat (
    process    text        NOT NULL,
    kind       text        NOT NULL,
    seen_at    timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    CONSTRAINT pk_heartbeat PRIMARY KEY (process),
    CONSTRAINT ck_heartbeat_kind CHECK (kind IN ('api', 'worker'))
);
ALTER TABLE service.heartbeat OWNER TO tierce_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON service.heartbeat TO tierce_system;
GRANT SELECT ON service.heartbeat TO tierce_runtime;

-- When members could not act because of us: deadlines do not run meanwhile. ended_at is moved on
-- while an outage lasts; what was recorded never becomes shorter.
CREATE TABLE service.outage (
    id          uuid        NOT NULL,
    -- What was away: api, mail, or another part that an operator names.
    kind        text        NOT NULL,
    began_at    timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    reason      text        NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_outage PRIMARY KEY (id),
    CONSTRAINT uq_outage_kind_began_at UNIQUE (kind, began_at),
    CONSTRAINT ck_outage_kind CHECK (kind IN ('api', 'worker', 'mail', 'provider')),
    CONSTRAINT ck_outage_length CHECK (ended_at > began_at)
);
CREATE INDEX ix_outage_kind_ended_at ON service.outage (kind, ended_at);
ALTER TABLE service.outage OWNER TO tierce_owner;
GRANT SELECT, INSERT, UPDATE ON service.outage TO tierce_system;
GRANT SELECT ON service.outage TO tierce_runtime;

CREATE FUNCTION service.keep_outage() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.id, OLD.kind, OLD.began_at, OLD.recorded_at) IS DISTINCT FROM
       (NEW.id, NEW.kind, NEW.began_at, NEW.recorded_at) OR NEW.ended_at < OLD.ended_at THEN
        RAISE EXCEPTION 'outage % only grows', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_outage() OWNER TO tierce_owner;
CREATE TRIGGER keep_outage BEFORE UPDATE ON service.outage
    FOR EACH ROW EXECUTE FUNCTION service.keep_outage();

-- When something was last proved, and how much of it did not hold.
CREATE TABLE service.proof (
    what      text        NOT NULL,
    proved_at timestamptz NOT NULL,
    problems  integer     NOT NULL,
    CONSTRAINT pk_proof PRIMARY KEY (what),
    CONSTRAINT ck_proof_problems CHECK (problems >= 0)
);
ALTER TABLE service.proof OWNER TO tierce_owner;
GRANT SELECT, INSERT, UPDATE ON service.proof TO tierce_system;
GRANT SELECT ON service.proof TO tierce_runtime;
