-- Where a member lives decides which hours and days a deadline may fall on.
ALTER TABLE service.member
    ADD COLUMN country text NOT NULL DEFAULT 'FR',
    ADD CONSTRAINT ck_member_country CHECK (country ~ '^[A-Z]{2}$');

-- Reminders that the running wait for members has had.
ALTER TABLE service.exchange
    ADD COLUMN reminders   smallint NOT NULL DEFAULT 0,
    ADD COLUMN reminded_at timestamptz,
    -- When a contest of the payment ended: until then nobody could confirm.
    ADD COLUMN resumed_at  timestamptz;

-- A time in which a member could not act, as the platform vouches. Nothing says why: that may be
-- a matter of health.
CREATE TABLE service.member_pause (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    began_at    timestamptz NOT NULL,
    ended_at    timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_member_pause PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_member_pause_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_member_pause_length CHECK (ended_at >= began_at)
);
CREATE INDEX ix_member_pause_platform_id_member_id
    ON service.member_pause (platform_id, member_id, ended_at);
CALL service.make_tenant_table('service.member_pause', 'SELECT, INSERT, UPDATE');

-- A pause can be made shorter, when the member is back sooner; nothing else of it changes.
CREATE FUNCTION service.keep_pause() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.member_id, OLD.began_at, OLD.recorded_at)
       IS DISTINCT FROM (NEW.member_id, NEW.began_at, NEW.recorded_at)
       OR NEW.ended_at > OLD.ended_at THEN
        RAISE EXCEPTION 'pause % can only be ended sooner', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_pause() OWNER TO tierce_owner;
CREATE TRIGGER keep_pause BEFORE UPDATE ON service.member_pause
    FOR EACH ROW EXECUTE FUNCTION service.keep_pause();

-- A platform's due timers are claimed without passing over those of others, and in the order of the
-- index: many fall due at one instant, nine in the morning.
CREATE INDEX ix_timer_platform_id_due_at
    ON service.timer (platform_id, due_at, exchange_id, step);
