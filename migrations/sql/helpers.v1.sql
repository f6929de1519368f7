-- Somebody whom a member named to act for them: what they may do, up to how much, until when. What
-- was once allowed is never widened; it can only end. Who the helper is stands in helper_person.
CREATE TABLE service.helper (
    platform_id  uuid        NOT NULL,
    id           uuid        NOT NULL,
    member_id    uuid        NOT NULL,
    -- Without one: every exchange of the member.
    exchange_id  uuid,
    may          text[]      NOT NULL,
    -- What an exchange may be worth at most, in minor units; another unit is beyond it.
    limit_amount bigint,
    limit_unit   text,
    named_by     text        NOT NULL,
    -- How the member said so, where the platform wrote it down for them.
    consent      text,
    named_at     timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    ended_at     timestamptz,
    ended_by     text,
    CONSTRAINT pk_helper PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_helper_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT fk_helper_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT ck_helper_may CHECK (cardinality(may) > 0 AND 'look' = ANY (may)
        AND may <@ ARRAY['look', 'confirm', 'report_problem', 'pay', 'accept_offers']),
    CONSTRAINT ck_helper_limit
        CHECK ((limit_amount IS NULL) = (limit_unit IS NULL) AND limit_amount > 0),
    CONSTRAINT ck_helper_named_by CHECK (named_by IN ('member', 'platform')),
    CONSTRAINT ck_helper_consent CHECK ((named_by = 'platform') = (consent IS NOT NULL)),
    CONSTRAINT ck_helper_ends_at
        CHECK (ends_at > named_at AND ends_at <= named_at + interval '366 days'),
    CONSTRAINT ck_helper_ended_at CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    CONSTRAINT ck_helper_ended_by CHECK (ended_by IN ('member', 'platform', 'erased'))
);
CREATE INDEX ix_helper_platform_id_member_id ON service.helper (platform_id, member_id, id);
CREATE INDEX ix_helper_platform_id_exchange_id ON service.helper (platform_id, exchange_id);
CALL service.make_tenant_table('service.helper', 'SELECT, INSERT, UPDATE');

CREATE TABLE service.helper_person (
    platform_id uuid NOT NULL,
    helper_id   uuid NOT NULL,
    name        text NOT NULL,
    email       text,
    phone       text,
    locale      text NOT NULL,
    CONSTRAINT pk_helper_person PRIMARY KEY (platform_id, helper_id),
    CONSTRAINT fk_helper_person_platform_id_helper_id
        FOREIGN KEY (platform_id, helper_id) REFERENCES service.helper (platform_id, id),
    CONSTRAINT ck_helper_person_contact CHECK (email IS NOT NULL OR phone IS NOT NULL)
);
CALL service.make_tenant_table('service.helper_person', 'SELECT, INSERT, DELETE');

CREATE FUNCTION service.keep_helper() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL
        OR (NEW.ended_at IS NULL)
        OR to_jsonb(NEW) - 'ended_at' - 'ended_by' <> to_jsonb(OLD) - 'ended_at' - 'ended_by'
    THEN
        RAISE EXCEPTION 'what a helper may do is never changed; it ends once'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
ALTER FUNCTION service.keep_helper() OWNER TO tierce_owner;
CREATE TRIGGER keep_helper BEFORE UPDATE ON service.helper
    FOR EACH ROW EXECUTE FUNCTION service.keep_helper();

-- A link of a helper opens what the helper may see: one exchange, or (without one) the list of
-- those of the member they help.
ALTER TABLE service.link
    ADD COLUMN helper_id uuid,
    ALTER COLUMN exchange_id DROP NOT NULL,
    ADD CONSTRAINT fk_link_platform_id_helper_id
        FOREIGN KEY (platform_id, helper_id) REFERENCES service.helper (platform_id, id),
    ADD CONSTRAINT ck_link_exchange_id CHECK (exchange_id IS NOT NULL OR helper_id IS NOT NULL);

-- A message to a helper of the member.
ALTER TABLE service.message
    ADD COLUMN helper_id uuid,
    ADD CONSTRAINT fk_message_platform_id_helper_id
        FOREIGN KEY (platform_id, helper_id) REFERENCES service.helper (platform_id, id);

-- Whose hand gave a member's word: a helper's, or that of somebody at the platform's desk.
ALTER TABLE service.confirmation
    ADD COLUMN helper_id uuid,
    ADD COLUMN operator text,
    ADD CONSTRAINT fk_confirmation_platform_id_helper_id
        FOREIGN KEY (platform_id, helper_id) REFERENCES service.helper (platform_id, id),
    ADD CONSTRAINT ck_confirmation_helper_id CHECK ((via = 'helper') = (helper_id IS NOT NULL)),
    -- At a desk nobody's word counts without the code.
    ADD CONSTRAINT ck_confirmation_operator CHECK ((via = 'desk') = (operator IS NOT NULL)
        AND (via <> 'desk' OR method = 'code'));

-- No word of a helper who was not named by one of the two for this, whatever the service thinks.
CREATE FUNCTION service.check_helper_word() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM service.helper AS h
        JOIN service.exchange AS e ON e.platform_id = h.platform_id AND e.id = NEW.exchange_id
        WHERE h.platform_id = NEW.platform_id AND h.id = NEW.helper_id AND h.ended_at IS NULL
          AND NEW.at >= h.named_at AND NEW.at < h.ends_at AND 'confirm' = ANY (h.may)
          AND h.member_id IN (e.payer_id, e.payee_id)
          AND (NEW.method = 'code' OR h.member_id = NEW.member_id)
          AND (h.exchange_id IS NULL OR h.exchange_id = e.id);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this helper may not confirm here' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
ALTER FUNCTION service.check_helper_word() OWNER TO tierce_owner;
CREATE TRIGGER check_helper_word BEFORE INSERT ON service.confirmation
    FOR EACH ROW WHEN (NEW.helper_id IS NOT NULL) EXECUTE FUNCTION service.check_helper_word();

-- What a helper brought to a case; the line in its journal names them.
ALTER TABLE disputes.evidence
    DROP CONSTRAINT ck_evidence_via,
    ADD CONSTRAINT ck_evidence_via CHECK (via IN ('member', 'platform', 'helper'));

-- Where members can talk to somebody: it stands on their pages and on the paper slip.
ALTER TABLE service.platform
    ADD COLUMN phone text,
    ADD CONSTRAINT ck_platform_phone CHECK (phone ~ '^\+[0-9]{6,15}$');
GRANT UPDATE (phone) ON service.platform TO tierce_runtime, tierce_system;
