-- What old rows may be deleted, and by whom: the system's role alone, never a platform's
-- (service/operations/retention.py). The outbox, the ledger, exchanges and everything that proves
-- something about money have no such rule: nobody is granted their deletion.

-- An attempt is never changed, and goes only with its delivery: nobody may delete one, and what
-- refers to a deleted row is deleted in the name of the table's owner.
DROP TRIGGER append_only ON service.webhook_attempt;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON service.webhook_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();
ALTER TABLE service.webhook_attempt DROP CONSTRAINT fk_webhook_attempt_delivery,
    ADD CONSTRAINT fk_webhook_attempt_delivery
        FOREIGN KEY (platform_id, endpoint_id, event_id)
        REFERENCES service.webhook_delivery (platform_id, endpoint_id, event_id) ON DELETE CASCADE;
GRANT DELETE ON service.webhook_delivery TO tierce_system;

-- What waits is never deleted, however old it is.
CREATE FUNCTION service.keep_waiting_delivery() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.state = 'waiting' THEN
        RAISE EXCEPTION 'the delivery of event % waits to be sent', OLD.event_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
ALTER FUNCTION service.keep_waiting_delivery() OWNER TO tierce_owner;
CREATE TRIGGER keep_waiting BEFORE DELETE ON service.webhook_delivery
    FOR EACH ROW EXECUTE FUNCTION service.keep_waiting_delivery();

GRANT DELETE ON service.link, service.clock_advance, service.provider_event TO tierce_system;
CREATE INDEX ix_provider_event_applied_at ON service.provider_event (platform_id, applied_at)
    WHERE applied_at IS NOT NULL;
