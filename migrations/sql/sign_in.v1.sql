-- How those who mediate sign in. They belong to the instance, and no platform reads any of this.

-- What opens an account. There is none until an invitation was taken up, nor after a reset.
CREATE TABLE service.sign_in (
    mediator_id    uuid        NOT NULL,
    -- argon2id, in the PHC string format, with the parameters it was made with.
    password_hash  text        NOT NULL,
    -- Sealed under TIERCE_CODE_KEY (service/sealing.py).
    totp_secret    bytea       NOT NULL,
    -- The time step of the last code that was taken: RFC 6238 §5.2, a code is taken once.
    totp_last_step bigint      NOT NULL,
    changed_at     timestamptz NOT NULL,
    CONSTRAINT pk_sign_in PRIMARY KEY (mediator_id),
    CONSTRAINT fk_sign_in_mediator_id
        FOREIGN KEY (mediator_id) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_sign_in_password_hash CHECK (password_hash LIKE '$argon2id$%')
);

-- By a secret of 256 random bits, of which the hash is here. What is chosen waits in the row until
-- a code shows that the authenticator has it.
CREATE TABLE service.invitation (
    hash          bytea       NOT NULL,
    mediator_id   uuid        NOT NULL,
    password_hash text,
    totp_secret   bytea,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    used_at       timestamptz,
    -- Another took its place, or the mediator ended.
    ended_at      timestamptz,
    CONSTRAINT pk_invitation PRIMARY KEY (hash),
    CONSTRAINT fk_invitation_mediator_id
        FOREIGN KEY (mediator_id) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_invitation_hash CHECK (octet_length(hash) = 32),
    CONSTRAINT ck_invitation_password_hash CHECK (password_hash LIKE '$argon2id$%'),
    CONSTRAINT ck_invitation_chosen CHECK ((password_hash IS NULL) = (totp_secret IS NULL)),
    CONSTRAINT ck_invitation_over CHECK (num_nonnulls(used_at, ended_at) < 2)
);
CREATE UNIQUE INDEX uq_invitation_open ON service.invitation (mediator_id)
    WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX ix_invitation_expires_at ON service.invitation (expires_at);

CREATE TABLE service.sign_in_session (
    id           uuid        NOT NULL,
    mediator_id  uuid        NOT NULL,
    started_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    -- However busy: the password and a code are asked for again after this.
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    ended_why    text,
    CONSTRAINT pk_sign_in_session PRIMARY KEY (id),
    CONSTRAINT fk_sign_in_session_mediator_id
        FOREIGN KEY (mediator_id) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_sign_in_session_ended_why CHECK (
        ended_why IN ('signed_out', 'reused', 'password', 'reset', 'ended')),
    CONSTRAINT ck_sign_in_session_ended CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE INDEX ix_sign_in_session_open ON service.sign_in_session (mediator_id)
    WHERE ended_at IS NULL;
CREATE INDEX ix_sign_in_session_expires_at ON service.sign_in_session (expires_at);

-- Each is used once and gives the next. One that comes back has been copied.
CREATE TABLE service.sign_in_refresh (
    hash       bytea       NOT NULL,
    session_id uuid        NOT NULL,
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    CONSTRAINT pk_sign_in_refresh PRIMARY KEY (hash),
    CONSTRAINT fk_sign_in_refresh_session_id
        FOREIGN KEY (session_id) REFERENCES service.sign_in_session (id) ON DELETE CASCADE,
    CONSTRAINT ck_sign_in_refresh_hash CHECK (octet_length(hash) = 32)
);
CREATE UNIQUE INDEX uq_sign_in_refresh_open ON service.sign_in_refresh (session_id)
    WHERE used_at IS NULL;
CREATE INDEX ix_sign_in_refresh_session_id ON service.sign_in_refresh (session_id);

-- One row when somebody tries, a second when they got in. What waits follow is counted from these,
-- and for an address without an account just as for one that has it.
CREATE TABLE service.sign_in_try (
    id        bigint GENERATED ALWAYS AS IDENTITY,
    at        timestamptz NOT NULL,
    -- SHA-256 of the address in small letters: what strangers type here is not kept.
    account   bytea       NOT NULL,
    -- The network that it came from, such as 192.0.2.0/24.
    prefix    text        NOT NULL,
    succeeded boolean     NOT NULL,
    CONSTRAINT pk_sign_in_try PRIMARY KEY (id),
    CONSTRAINT ck_sign_in_try_account CHECK (octet_length(account) = 32)
);
CREATE INDEX ix_sign_in_try_account ON service.sign_in_try (account, prefix, at);
CREATE INDEX ix_sign_in_try_prefix ON service.sign_in_try (prefix, at);
CREATE INDEX ix_sign_in_try_at ON service.sign_in_try (at);
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON service.sign_in_try
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

ALTER TABLE service.sign_in OWNER TO tierce_owner;
ALTER TABLE service.invitation OWNER TO tierce_owner;
ALTER TABLE service.sign_in_session OWNER TO tierce_owner;
ALTER TABLE service.sign_in_refresh OWNER TO tierce_owner;
ALTER TABLE service.sign_in_try OWNER TO tierce_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON service.sign_in, service.invitation,
    service.sign_in_session TO tierce_system;
-- Rows go with their session.
GRANT SELECT, INSERT, UPDATE, DELETE ON service.sign_in_refresh TO tierce_system;
GRANT SELECT, INSERT, DELETE ON service.sign_in_try TO tierce_system;
