-- A tenant. Creating one makes two: a live one and its sandbox, with nothing in common but a name.
CREATE TABLE service.platform (
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    mode       text        NOT NULL,
    twin_id    uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_platform PRIMARY KEY (id),
    CONSTRAINT uq_platform_twin_id UNIQUE (twin_id),
    CONSTRAINT fk_platform_twin_id FOREIGN KEY (twin_id) REFERENCES service.platform (id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_platform_mode CHECK (mode IN ('live', 'sandbox')),
    CONSTRAINT ck_platform_name CHECK (length(name) BETWEEN 1 AND 200)
);
ALTER TABLE service.platform OWNER TO tierce_owner;
ALTER TABLE service.platform ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_platform ON service.platform TO tierce_runtime
    USING (id = service.current_platform());
CREATE POLICY of_system ON service.platform TO tierce_system USING (true) WITH CHECK (true);
GRANT SELECT ON service.platform TO tierce_runtime;
GRANT SELECT, INSERT, UPDATE (name) ON service.platform TO tierce_system;

-- A secret by which a platform is known. Only its hash is kept; 256 random bits need no salt.
CREATE TABLE service.api_key (
    platform_id  uuid        NOT NULL,
    id           uuid        NOT NULL,
    label        text        NOT NULL,
    hint         text        NOT NULL,
    hash         bytea       NOT NULL,
    scopes       text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    rotated_to   uuid,
    CONSTRAINT pk_api_key PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_api_key_platform_id
        FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    CONSTRAINT fk_api_key_platform_id_rotated_to
        FOREIGN KEY (platform_id, rotated_to) REFERENCES service.api_key (platform_id, id),
    CONSTRAINT ck_api_key_hash CHECK (length(hash) = 32)
);
-- Looked up before the platform is known, hence the one key that does not lead with it.
CREATE INDEX ix_api_key_hash ON service.api_key (hash);
CALL service.make_tenant_table('service.api_key', 'SELECT, INSERT, UPDATE');

-- A person on a platform. What identifies the person is in member_person and can be erased; the
-- books only ever name the id.
CREATE TABLE service.member (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    external_id text,
    locale      text        NOT NULL,
    time_zone   text        NOT NULL,
    created_at  timestamptz NOT NULL,
    erased_at   timestamptz,
    CONSTRAINT pk_member PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_member_platform_id_external_id UNIQUE (platform_id, external_id),
    CONSTRAINT fk_member_platform_id FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    -- Erasing takes the platform's own name for the person too.
    CONSTRAINT ck_member_erased CHECK ((erased_at IS NULL) = (external_id IS NOT NULL))
);
CALL service.make_tenant_table('service.member', 'SELECT, INSERT, UPDATE');

CREATE TABLE service.member_person (
    platform_id uuid NOT NULL,
    member_id   uuid NOT NULL,
    name        text,
    email       text,
    phone       text,
    CONSTRAINT pk_member_person PRIMARY KEY (platform_id, member_id),
    CONSTRAINT fk_member_person_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id)
);
CALL service.make_tenant_table('service.member_person', 'SELECT, INSERT, UPDATE, DELETE');

-- What was answered to a request with an Idempotency-Key, written in the request's transaction.
CREATE TABLE service.idempotency (
    platform_id uuid        NOT NULL,
    actor       text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL,
    status      smallint,
    body        text,
    location    text,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    CONSTRAINT pk_idempotency PRIMARY KEY (platform_id, actor, key),
    CONSTRAINT ck_idempotency_fingerprint CHECK (length(fingerprint) = 32)
);
CREATE INDEX ix_idempotency_expires_at ON service.idempotency (expires_at);
-- Erasing a member finds the answer that once showed them.
CREATE INDEX ix_idempotency_platform_id_location ON service.idempotency (platform_id, location)
    WHERE location LIKE '/v1/members/%';
CALL service.make_tenant_table('service.idempotency', 'SELECT, INSERT, UPDATE, DELETE');
