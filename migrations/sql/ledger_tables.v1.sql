-- Units that a platform defines beside ISO 4217 (hours, points): minor units per unit = 10^exponent.
CREATE TABLE ledger.unit (
    platform_id  uuid        NOT NULL,
    code         text        NOT NULL,
    name         text        NOT NULL,
    exponent     smallint    NOT NULL,
    credit_limit bigint      NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_unit PRIMARY KEY (platform_id, code),
    CONSTRAINT ck_unit_code CHECK (code ~ '^[A-Z][A-Z0-9_]{3,11}$'), -- ISO codes have three letters
    CONSTRAINT ck_unit_exponent CHECK (exponent BETWEEN 0 AND 4),
    CONSTRAINT ck_unit_credit_limit CHECK (credit_limit >= 0)
);
CALL service.make_tenant_table('ledger.unit', 'SELECT, INSERT');
GRANT UPDATE (name, credit_limit) ON ledger.unit TO tierce_runtime, tierce_system;

-- Balance is credits less debits. An account with a floor keeps its balance here and is locked by
-- those who move it; one without a floor is never locked or updated, however many move it at once.
CREATE TABLE ledger.account (
    platform_id uuid        NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    path        text        NOT NULL,
    unit        text        NOT NULL,
    floor       bigint,
    balance     bigint      NOT NULL DEFAULT 0,
    opened_at   timestamptz NOT NULL,
    CONSTRAINT pk_account PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_account_platform_id_path_unit UNIQUE (platform_id, path, unit),
    CONSTRAINT ck_account_path CHECK (
        path ~ '^(hold|member|transit|platform|provider|receivable|expense|suspense)(:[A-Za-z0-9_.-]{1,80}){0,3}$'),
    CONSTRAINT ck_account_kind CHECK (
        (floor IS NOT NULL) = (split_part(path, ':', 1) IN ('hold', 'member', 'transit'))),
    CONSTRAINT ck_account_floor CHECK (
        CASE WHEN floor IS NULL THEN balance = 0 ELSE balance >= floor AND floor <= 0 END)
) WITH (fillfactor = 50);
CALL service.make_tenant_table('ledger.account', 'SELECT');

-- A balanced ledger transaction. Its hash is of its content, so a changed row gives itself away.
CREATE TABLE ledger.posting (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    key         text        NOT NULL,
    hash        bytea       NOT NULL,
    kind        text        NOT NULL,
    reference   text,
    reverses    uuid,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_posting PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_posting_platform_id_key UNIQUE (platform_id, key),
    CONSTRAINT uq_posting_platform_id_reverses UNIQUE (platform_id, reverses),
    CONSTRAINT fk_posting_platform_id_reverses
        FOREIGN KEY (platform_id, reverses) REFERENCES ledger.posting (platform_id, id),
    CONSTRAINT ck_posting_key CHECK (length(key) BETWEEN 1 AND 200),
    CONSTRAINT ck_posting_hash CHECK (length(hash) = 32),
    CONSTRAINT ck_posting_kind CHECK (kind ~ '^[a-z_]{1,40}$'),
    CONSTRAINT ck_posting_reference CHECK (reference !~ '[[:cntrl:]]' AND length(reference) <= 200)
);
CREATE INDEX ix_posting_platform_id_reference ON ledger.posting (platform_id, reference, id)
    WHERE reference IS NOT NULL;
CALL service.make_tenant_table('ledger.posting', 'SELECT');

-- One row is both entries: debits equal credits by its shape. No foreign keys to accounts: their
-- checks would lock the rows of accounts that must never be locked; a trigger checks a whole
-- statement's rows at once instead, and accounts are never removed.
CREATE TABLE ledger.transfer (
    platform_id    uuid   NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY,
    posting_id     uuid   NOT NULL,
    debit_account  bigint NOT NULL,
    credit_account bigint NOT NULL,
    amount         bigint NOT NULL,
    unit           text   NOT NULL,
    tx             xid8   NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT pk_transfer PRIMARY KEY (platform_id, id),
    CONSTRAINT ck_transfer_amount CHECK (amount > 0),
    CONSTRAINT ck_transfer_two_accounts CHECK (debit_account <> credit_account)
);
CREATE INDEX ix_transfer_debit ON ledger.transfer (platform_id, debit_account, id);
CREATE INDEX ix_transfer_credit ON ledger.transfer (platform_id, credit_account, id);
CREATE INDEX ix_transfer_posting ON ledger.transfer (platform_id, posting_id);
CALL service.make_tenant_table('ledger.transfer', 'SELECT');

-- The two signed lines of each transfer, for accountants and exports.
CREATE VIEW ledger.entry WITH (security_invoker = true) AS
    SELECT t.platform_id, t.id AS transfer_id, t.posting_id, side.account_id, side.amount, t.unit
    FROM ledger.transfer AS t
    CROSS JOIN LATERAL (VALUES (t.debit_account, -t.amount), (t.credit_account, t.amount))
        AS side (account_id, amount);
ALTER VIEW ledger.entry OWNER TO tierce_owner;
GRANT SELECT ON ledger.entry TO tierce_runtime, tierce_system;

-- Balances of accounts without a floor, as one snapshot of finished transactions saw them. Never cut
-- by the greatest id: ids commit out of order. low_id only bounds the search; see ledger.take_cut.
CREATE TABLE ledger.cut (
    platform_id uuid        NOT NULL,
    account_id  bigint      NOT NULL,
    balance     bigint      NOT NULL,
    snapshot    pg_snapshot NOT NULL,
    low_id      bigint      NOT NULL,
    CONSTRAINT pk_cut PRIMARY KEY (platform_id, account_id)
);
CALL service.make_tenant_table('ledger.cut', 'SELECT');

-- Every transfer up to last_id was drawn by a transaction older than tx.
CREATE TABLE ledger.mark (
    platform_id uuid   NOT NULL,
    last_id     bigint NOT NULL,
    tx          xid8   NOT NULL,
    CONSTRAINT pk_mark PRIMARY KEY (platform_id, last_id)
);
CALL service.make_tenant_table('ledger.mark', 'SELECT');

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.posting
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.transfer
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON ledger.account
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- Whoever inserts transfers, and however: units agree, the accounts and the posting exist, and each
-- floored account moves once by its net. The floor itself is a CHECK of ledger.account.
CREATE FUNCTION ledger.apply_transfers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF EXISTS (
        SELECT FROM written AS w
        LEFT JOIN ledger.account AS d ON d.platform_id = w.platform_id AND d.id = w.debit_account
        LEFT JOIN ledger.account AS c ON c.platform_id = w.platform_id AND c.id = w.credit_account
        LEFT JOIN ledger.posting AS p ON p.platform_id = w.platform_id AND p.id = w.posting_id
        WHERE d.unit IS DISTINCT FROM w.unit OR c.unit IS DISTINCT FROM w.unit OR p.id IS NULL
    ) THEN
        RAISE EXCEPTION 'a transfer and both of its accounts are in one unit, under one posting'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    UPDATE ledger.account AS a SET balance = a.balance + net.amount
    FROM (
        SELECT m.platform_id, m.account_id, sum(m.amount)::bigint AS amount
        FROM (
            SELECT platform_id, credit_account AS account_id, amount FROM written
            UNION ALL
            SELECT platform_id, debit_account, -amount FROM written
        ) AS m
        GROUP BY m.platform_id, m.account_id
    ) AS net
    WHERE a.platform_id = net.platform_id AND a.id = net.account_id
      AND a.floor IS NOT NULL AND net.amount <> 0;
    RETURN NULL;
END
$$;
ALTER FUNCTION ledger.apply_transfers() OWNER TO tierce_owner;
CREATE TRIGGER apply_transfers AFTER INSERT ON ledger.transfer
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.apply_transfers();

-- Identity is for ever; a balance moves only from within the trigger above; a floor is set by
-- ledger.set_floor.
CREATE FUNCTION ledger.guard_account() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.platform_id, OLD.id, OLD.path, OLD.unit, OLD.opened_at) IS DISTINCT FROM
       (NEW.platform_id, NEW.id, NEW.path, NEW.unit, NEW.opened_at) THEN
        RAISE EXCEPTION 'what account % is cannot change', OLD.path
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.balance <> NEW.balance AND pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION 'the balance of % moves by transfers alone', OLD.path
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION ledger.guard_account() OWNER TO tierce_owner;
CREATE TRIGGER guard_account BEFORE UPDATE ON ledger.account
    FOR EACH ROW EXECUTE FUNCTION ledger.guard_account();
CREATE FUNCTION ledger.guard_opening() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NEW.balance <> 0 THEN
        RAISE EXCEPTION 'an account opens at zero' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION ledger.guard_opening() OWNER TO tierce_owner;
CREATE TRIGGER guard_opening BEFORE INSERT ON ledger.account
    FOR EACH ROW EXECUTE FUNCTION ledger.guard_opening();
