-- A member's own account at a payment provider, to which released money is sent. The row is there
-- before the provider is asked: while account_ref is NULL the account is being opened, or was
-- refused for the reason in failure.
CREATE TABLE service.payee_account (
    platform_id     uuid        NOT NULL,
    member_id       uuid        NOT NULL,
    provider        text        NOT NULL,
    country         text        NOT NULL,
    account_ref     text,
    failure         text,
    ready           boolean     NOT NULL DEFAULT false,
    bank_ready      boolean     NOT NULL DEFAULT false,
    submitted       boolean     NOT NULL DEFAULT false,
    -- What the provider still wants, by its own names, and until when.
    due             text[]      NOT NULL DEFAULT '{}',
    due_by          timestamptz,
    disabled_reason text,
    opened_at       timestamptz NOT NULL,
    seen_at         timestamptz,
    -- Counts what was written about the account, so that an older answer never covers a newer one.
    version         integer     NOT NULL DEFAULT 0,
    attempts        integer     NOT NULL DEFAULT 0,
    look_again_at   timestamptz,
    CONSTRAINT pk_payee_account PRIMARY KEY (platform_id, member_id, provider),
    CONSTRAINT uq_payee_account_platform_id_provider_account_ref
        UNIQUE (platform_id, provider, account_ref),
    CONSTRAINT fk_payee_account_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_payee_account_country CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT ck_payee_account_seen CHECK ((account_ref IS NULL) = (seen_at IS NULL)),
    CONSTRAINT ck_payee_account_failure CHECK (failure IS NULL OR account_ref IS NULL),
    -- Nobody is ready whose account is not known.
    CONSTRAINT ck_payee_account_ready CHECK (NOT ready OR account_ref IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX ix_payee_account_look_again_at ON service.payee_account (look_again_at)
    WHERE look_again_at IS NOT NULL;
CALL service.make_tenant_table('service.payee_account', 'SELECT, INSERT, UPDATE');

-- Money is sent to the account that was opened for the member, never to one put in its place.
CREATE FUNCTION service.keep_payee_account() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.account_ref IS NOT NULL
       AND (OLD.account_ref, OLD.country) IS DISTINCT FROM (NEW.account_ref, NEW.country) THEN
        RAISE EXCEPTION 'the account of member % at % cannot be exchanged for another',
            OLD.member_id, OLD.provider USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_payee_account() OWNER TO tierce_owner;
CREATE TRIGGER keep_account BEFORE UPDATE ON service.payee_account
    FOR EACH ROW EXECUTE FUNCTION service.keep_payee_account();

-- A payer whom a provider knows, and the method they agreed to keep there. Erased with the member.
CREATE TABLE service.provider_customer (
    platform_id  uuid        NOT NULL,
    member_id    uuid        NOT NULL,
    provider     text        NOT NULL,
    customer_ref text        NOT NULL,
    saved_method text,
    agreed_at    timestamptz NOT NULL,
    seen_at      timestamptz NOT NULL,
    CONSTRAINT pk_provider_customer PRIMARY KEY (platform_id, member_id, provider),
    CONSTRAINT uq_provider_customer_platform_id_provider_customer_ref
        UNIQUE (platform_id, provider, customer_ref),
    CONSTRAINT fk_provider_customer_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id)
);
CALL service.make_tenant_table('service.provider_customer', 'SELECT, INSERT, UPDATE, DELETE');

-- Members' money on its way from their accounts at the provider to their banks. It is theirs
-- already and in no book of ours; it is kept here so that they can be told where it is.
CREATE TABLE service.bank_payout (
    platform_id   uuid        NOT NULL,
    id            uuid        NOT NULL,
    provider      text        NOT NULL,
    ref           text        NOT NULL,
    account_ref   text        NOT NULL,
    member_id     uuid        NOT NULL,
    status        text        NOT NULL,
    amount        bigint      NOT NULL,
    unit          text        NOT NULL,
    arrives_at    timestamptz,
    failure       text,
    seen_at       timestamptz NOT NULL,
    attempts      integer     NOT NULL DEFAULT 0,
    look_again_at timestamptz,
    CONSTRAINT pk_bank_payout PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_bank_payout_platform_id_provider_ref UNIQUE (platform_id, provider, ref),
    CONSTRAINT fk_bank_payout_platform_id_provider_account_ref
        FOREIGN KEY (platform_id, provider, account_ref)
        REFERENCES service.payee_account (platform_id, provider, account_ref),
    CONSTRAINT fk_bank_payout_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_bank_payout_status
        CHECK (status IN ('pending', 'succeeded', 'failed', 'canceled')),
    -- Below zero, the provider takes from the bank what the account lacks.
    CONSTRAINT ck_bank_payout_amount CHECK (amount <> 0),
    CONSTRAINT ck_bank_payout_unit CHECK (unit ~ '^[A-Z]{3}$')
);
CREATE INDEX ix_bank_payout_platform_id_member_id ON service.bank_payout
    (platform_id, member_id, id);
CREATE INDEX ix_bank_payout_look_again_at ON service.bank_payout (look_again_at)
    WHERE look_again_at IS NOT NULL;
CALL service.make_tenant_table('service.bank_payout', 'SELECT, INSERT, UPDATE');

-- The sandbox provider's accounts and their payouts to banks. Nothing of ours refers to them.
CREATE TABLE service.sandbox_account (
    platform_id     uuid        NOT NULL,
    ref             text        NOT NULL,
    member_id       uuid        NOT NULL,
    country         text        NOT NULL,
    ready           boolean     NOT NULL DEFAULT false,
    bank_ready      boolean     NOT NULL DEFAULT false,
    submitted       boolean     NOT NULL DEFAULT false,
    due             text[]      NOT NULL DEFAULT '{}',
    due_by          timestamptz,
    disabled_reason text,
    CONSTRAINT pk_sandbox_account PRIMARY KEY (platform_id, ref),
    CONSTRAINT uq_sandbox_account_platform_id_member_id UNIQUE (platform_id, member_id)
);
CREATE INDEX ix_sandbox_account_due_by ON service.sandbox_account (due_by)
    WHERE ready AND due_by IS NOT NULL;
CALL service.make_tenant_table('service.sandbox_account', 'SELECT, INSERT, UPDATE');

CREATE TABLE service.sandbox_bank_payout (
    platform_id uuid        NOT NULL,
    ref         text        NOT NULL,
    account_ref text        NOT NULL,
    status      text        NOT NULL,
    amount      bigint      NOT NULL,
    unit        text        NOT NULL,
    arrives_at  timestamptz,
    failure     text,
    CONSTRAINT pk_sandbox_bank_payout PRIMARY KEY (platform_id, ref),
    CONSTRAINT fk_sandbox_bank_payout_platform_id_account_ref
        FOREIGN KEY (platform_id, account_ref)
        REFERENCES service.sandbox_account (platform_id, ref)
);
CALL service.make_tenant_table('service.sandbox_bank_payout', 'SELECT, INSERT, UPDATE');

-- The sandbox tells of its accounts, too: an event's object is no longer always a payment's.
ALTER TABLE service.sandbox_event
    DROP CONSTRAINT fk_sandbox_event_platform_id_object_ref,
    ADD COLUMN topic   text NOT NULL DEFAULT 'payment',
    ADD COLUMN account text;
