-- How far a sandbox platform's own clock is ahead of the real one. A platform without a row lives
-- in real time; a clock is never turned back.
CREATE TABLE service.platform_clock (
    platform_id  uuid        NOT NULL,
    ahead        interval    NOT NULL,
    -- While the clock is being moved it stands still at each instant at which something is due,
    -- so that all of it happens at that instant. Whoever moves it says until when, in real time:
    -- if they die, the clock goes on by itself from where it stood.
    stands_at    timestamptz,
    stands_until timestamptz,
    CONSTRAINT pk_platform_clock PRIMARY KEY (platform_id),
    CONSTRAINT fk_platform_clock_platform_id
        FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    CONSTRAINT ck_platform_clock_ahead CHECK (ahead >= interval '0'),
    CONSTRAINT ck_platform_clock_stands CHECK ((stands_at IS NULL) = (stands_until IS NULL))
);
CALL service.make_tenant_table('service.platform_clock', 'SELECT, INSERT, UPDATE');

CREATE FUNCTION service.keep_clock() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.ahead < OLD.ahead OR NEW.stands_at < OLD.stands_at) THEN
        RAISE EXCEPTION 'the clock of platform % cannot go back', OLD.platform_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM service.platform AS p
                   WHERE p.id = NEW.platform_id AND p.mode = 'sandbox') THEN
        RAISE EXCEPTION 'platform % lives in real time', NEW.platform_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_clock() OWNER TO tierce_owner;
CREATE TRIGGER keep_clock BEFORE INSERT OR UPDATE ON service.platform_clock
    FOR EACH ROW EXECUTE FUNCTION service.keep_clock();

-- What time it is on a platform when it is "real" for the machine.
CREATE FUNCTION service.platform_now(wanted uuid, real_now timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    RETURN coalesce(
        (SELECT CASE WHEN real_now < c.stands_until THEN c.stands_at ELSE real_now + c.ahead END
         FROM service.platform_clock AS c WHERE c.platform_id = wanted), real_now);
ALTER FUNCTION service.platform_now(uuid, timestamptz) OWNER TO tierce_owner;
