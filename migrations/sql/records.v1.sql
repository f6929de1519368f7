-- What the instance signs, and with what: decisions of cases and receipts of exchanges.

-- ES256 keys, one in use at a time. A retired one stays: what it signed is to be verified for ever.
CREATE TABLE service.signing_key (
    -- RFC 7638: the SHA-256 of the public key, in base64url.
    kid        text        NOT NULL,
    -- {"crv": "P-256", "kty": "EC", "x": …, "y": …}
    public     jsonb       NOT NULL,
    -- The PEM of the private key, sealed under TIERCE_CODE_KEY (service/sealing.py).
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz,
    CONSTRAINT pk_signing_key PRIMARY KEY (kid),
    CONSTRAINT ck_signing_key_kid CHECK (kid ~ '^[A-Za-z0-9_-]{43}$')
);
CREATE UNIQUE INDEX uq_signing_key_current ON service.signing_key ((true))
    WHERE retired_at IS NULL;
ALTER TABLE service.signing_key OWNER TO tierce_owner;
GRANT SELECT ON service.signing_key TO tierce_runtime, tierce_system;
-- Only an operator's command retires one.
GRANT UPDATE (retired_at) ON service.signing_key TO tierce_system;

-- A key is retired once, and nothing else about it changes.
CREATE FUNCTION service.keep_signing_key() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.retired_at IS NOT NULL OR NEW.retired_at IS NULL
       OR (OLD.kid, OLD.public, OLD.sealed, OLD.created_at)
          IS DISTINCT FROM (NEW.kid, NEW.public, NEW.sealed, NEW.created_at) THEN
        RAISE EXCEPTION 'signing key % stands', OLD.kid USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_signing_key() OWNER TO tierce_owner;
CREATE TRIGGER keep_signing_key BEFORE UPDATE ON service.signing_key
    FOR EACH ROW EXECUTE FUNCTION service.keep_signing_key();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON service.signing_key
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- A key is added where none is in use, by whoever signs first or has just retired one.
CREATE FUNCTION service.add_signing_key(p_kid text, p_public jsonb, p_sealed bytea,
                                        p_now timestamptz)
    RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        INSERT INTO service.signing_key (kid, public, sealed, created_at)
        VALUES (p_kid, p_public, p_sealed, p_now) ON CONFLICT DO NOTHING;
    END;
ALTER FUNCTION service.add_signing_key(text, jsonb, bytea, timestamptz) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION service.add_signing_key(text, jsonb, bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION service.add_signing_key(text, jsonb, bytea, timestamptz)
    TO tierce_runtime, tierce_system;

-- What was signed: made when it is first asked for, and answered as it is ever after.
CREATE TABLE service.signed_document (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    -- decision: of a case; extract: of its journal; receipt: of an exchange.
    kind        text        NOT NULL,
    subject_id  uuid        NOT NULL,
    -- A subject that goes on has one for each state that was told: how much of it had happened, such
    -- as the number of the journal's lines. 0 where there is but one.
    part        integer     NOT NULL,
    -- Of the payload, which is canonical JSON.
    sha256      bytea       NOT NULL,
    -- RFC 7515, compact.
    jws         text        NOT NULL,
    kid         text        NOT NULL,
    signed_at   timestamptz NOT NULL,
    CONSTRAINT pk_signed_document PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_signed_document_subject UNIQUE (platform_id, kind, subject_id, part),
    CONSTRAINT fk_signed_document_kid FOREIGN KEY (kid) REFERENCES service.signing_key (kid),
    CONSTRAINT ck_signed_document_kind CHECK (kind IN ('decision', 'extract', 'receipt')),
    CONSTRAINT ck_signed_document_part CHECK (part >= 0),
    CONSTRAINT ck_signed_document_sha256 CHECK (octet_length(sha256) = 32)
);
CALL service.make_tenant_table('service.signed_document', 'SELECT, INSERT');
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON service.signed_document
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- A receipt names its two members. When one of them is erased, it goes, and who asks again is given
-- one without the name; the copies that the two have go on to be genuine.
CREATE FUNCTION service.forget_receipts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM service.signed_document AS d USING service.exchange AS e
     WHERE d.platform_id = NEW.platform_id AND d.kind = 'receipt'
       AND e.platform_id = d.platform_id AND e.id = d.subject_id
       AND NEW.id IN (e.payer_id, e.payee_id);
    RETURN NULL;
END
$$;
ALTER FUNCTION service.forget_receipts() OWNER TO tierce_owner;
CREATE TRIGGER forget_receipts AFTER UPDATE OF erased_at ON service.member
    FOR EACH ROW WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL)
    EXECUTE FUNCTION service.forget_receipts();
