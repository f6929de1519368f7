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

-- "member:0190…": a kind, then up to three words of at most 80 characters. A domain is checked when an
-- account opens; a CHECK of the table would be matched again with each new balance. Bounds such as
-- {1,80} in a pattern cost the matcher as many states, and 0.1 ms a row.
CREATE DOMAIN ledger.path AS text CONSTRAINT ck_account_path CHECK (
    VALUE ~ ('^(hold|member|transit|platform|provider|receivable|expense|suspense)'
             '(:[A-Za-z0-9_.-]+)*$')
    AND split_part(VALUE, ':', 5) = '' AND length(split_part(VALUE, ':', 2)) <= 80
    AND length(split_part(VALUE, ':', 3)) <= 80 AND length(split_part(VALUE, ':', 4)) <= 80);
ALTER DOMAIN ledger.path OWNER TO tierce_owner;

-- Balance is credits less debits. An account with a floor keeps its balance here and is locked by
-- those who move it; one without a floor is never locked or updated, however many move it at once.
CREATE TABLE ledger.account (
    platform_id uuid        NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    path        ledger.path NOT NULL,
    unit        text        NOT NULL,
    floor       bigint,
    balance     bigint      NOT NULL DEFAULT 0,
    opened_at   timestamptz NOT NULL,
    CONSTRAINT pk_account PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_account_platform_id_path_unit UNIQUE (platform_id, path, unit),
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
    CONSTRAINT fk_posting_platform_id_reverses
        FOREIGN KEY (platform_id, reverses) REFERENCES ledger.posting (platform_id, id),
    CONSTRAINT ck_posting_key CHECK (length(key) BETWEEN 1 AND 200),
    CONSTRAINT ck_posting_hash CHECK (length(hash) = 32),
    CONSTRAINT ck_posting_kind CHECK (kind ~ '^[a-z_]+$' AND length(kind) <= 40),
    CONSTRAINT ck_posting_reference CHECK (reference !~ '[[:cntrl:]]' AND length(reference) <= 200)
);
-- A posting is reversed once; most reverse nothing.
CREATE UNIQUE INDEX uq_posting_platform_id_reverses ON ledger.posting (platform_id, reverses)
    WHERE reverses IS NOT NULL;
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

CREATE FUNCTION ledger.refuse_transfer() RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'a transfer and both of its accounts are in one unit, under one posting'
        USING ERRCODE = 'foreign_key_violation';
END
$$;
ALTER FUNCTION ledger.refuse_transfer() OWNER TO tierce_owner;

-- Whoever inserts transfers, and however: units agree, the accounts and the posting exist, and each
-- floored account moves once by its net. The floor itself is a CHECK of ledger.account. Each account
-- is looked at once: the UPDATE says by its count whether all it was to move are there, in their unit.
-- A statement of one transfer, as most are, needs no lists.
CREATE FUNCTION ledger.apply_transfers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
DECLARE
    platforms uuid[];
    accounts bigint[];
    units text[];
    nets bigint[];
    moved bigint;
    others bigint := 0;
    many bigint;
    one ledger.transfer;
    first bigint;
    second bigint;
    net bigint;
BEGIN
    SELECT count(*), any_value(platform_id), any_value(posting_id), any_value(debit_account),
           any_value(credit_account), any_value(amount), any_value(unit)
    INTO many, one.platform_id, one.posting_id, one.debit_account, one.credit_account, one.amount,
         one.unit
    FROM written;
    IF many = 1 THEN
        -- One row a statement: in id order, whatever plan there is.
        IF one.debit_account > one.credit_account THEN
            first := one.credit_account;
            second := one.debit_account;
            net := one.amount;
        ELSE
            first := one.debit_account;
            second := one.credit_account;
            net := -one.amount;
        END IF;
        UPDATE ledger.account AS a SET balance = a.balance + net
        WHERE a.platform_id = one.platform_id AND a.id = first AND (a.unit = one.unit) IS TRUE
          AND a.floor IS NOT NULL;
        GET DIAGNOSTICS moved = ROW_COUNT;
        UPDATE ledger.account AS a SET balance = a.balance - net
        WHERE a.platform_id = one.platform_id AND a.id = second AND (a.unit = one.unit) IS TRUE
          AND a.floor IS NOT NULL
          AND EXISTS (SELECT FROM ledger.posting AS p
                      WHERE p.platform_id = one.platform_id AND p.id = one.posting_id);
        GET DIAGNOSTICS others = ROW_COUNT;
        moved := moved + others;
        IF moved = 2 THEN
            RETURN NULL;
        END IF;
        SELECT count(*) INTO others FROM ledger.account AS a
        WHERE a.platform_id = one.platform_id AND a.unit = one.unit AND a.floor IS NULL
          AND a.id = ANY (ARRAY[one.debit_account, one.credit_account])
          AND EXISTS (SELECT FROM ledger.posting AS p
                      WHERE p.platform_id = one.platform_id AND p.id = one.posting_id);
        IF moved + others < 2 THEN
            PERFORM ledger.refuse_transfer();
        END IF;
        RETURN NULL;
    END IF;
    SELECT array_agg(n.platform_id), array_agg(n.account_id), array_agg(n.unit), array_agg(n.amount)
    INTO platforms, accounts, units, nets
    FROM (
        SELECT m.platform_id, m.account_id, m.unit, sum(m.amount)::bigint AS amount
        FROM (
            SELECT platform_id, credit_account AS account_id, unit, amount FROM written
            UNION ALL
            SELECT platform_id, debit_account, unit, -amount FROM written
        ) AS m
        GROUP BY m.platform_id, m.account_id, m.unit
    ) AS n;
    IF accounts IS NULL THEN
        RETURN NULL; -- a statement that wrote nothing
    END IF;
    -- In id order, so that two batches never wait for each other in a ring. No index is asked for the
    -- unit (IS TRUE): a plan made for empty tables would read all accounts of that unit, for each line.
    UPDATE ledger.account AS a SET balance = a.balance + n.amount
    FROM (SELECT * FROM unnest(platforms, accounts, units, nets)
              AS u (platform_id, account_id, unit, amount)
          ORDER BY u.platform_id, u.account_id) AS n
    WHERE a.platform_id = n.platform_id AND a.id = n.account_id AND (a.unit = n.unit) IS TRUE
      AND a.floor IS NOT NULL;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < cardinality(accounts) THEN
        SELECT count(*) INTO others
        FROM unnest(platforms, accounts, units) AS n (platform_id, account_id, unit)
        JOIN ledger.account AS a
            ON a.platform_id = n.platform_id AND a.id = n.account_id AND a.unit = n.unit
        WHERE a.floor IS NULL;
    END IF;
    IF moved + others < cardinality(accounts) OR EXISTS (
        SELECT FROM written AS w
        LEFT JOIN ledger.posting AS p ON p.platform_id = w.platform_id AND p.id = w.posting_id
        WHERE p.id IS NULL
    ) THEN
        PERFORM ledger.refuse_transfer();
    END IF;
    RETURN NULL;
END
$$;
ALTER FUNCTION ledger.apply_transfers() OWNER TO tierce_owner;
CREATE TRIGGER apply_transfers AFTER INSERT ON ledger.transfer
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.apply_transfers();

-- Identity is for ever; a balance moves only from within the trigger above; a floor is set by
-- ledger.set_credit_limit. Whether there is anything to refuse is asked in WHEN, which costs a
-- thousand accounts of a batch less than a thousand calls; where a column must be named to be
-- changed, a statement that names none of them is not asked at all.
CREATE FUNCTION ledger.refuse_account() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '%', format(TG_ARGV[0], NEW.path) USING ERRCODE = 'restrict_violation';
END
$$;
ALTER FUNCTION ledger.refuse_account() OWNER TO tierce_owner;
CREATE TRIGGER guard_identity BEFORE UPDATE OF platform_id, id, path, unit, opened_at ON ledger.account
    FOR EACH ROW
    WHEN (OLD.platform_id <> NEW.platform_id OR OLD.id <> NEW.id OR OLD.path <> NEW.path
          OR OLD.unit <> NEW.unit OR OLD.opened_at <> NEW.opened_at)
    EXECUTE FUNCTION ledger.refuse_account('what account %s is cannot change');
CREATE TRIGGER guard_balance BEFORE UPDATE ON ledger.account
    FOR EACH ROW
    WHEN (OLD.balance <> NEW.balance AND pg_trigger_depth() < 1)
    EXECUTE FUNCTION ledger.refuse_account('the balance of %s moves by transfers alone');
CREATE TRIGGER guard_opening BEFORE INSERT ON ledger.account
    FOR EACH ROW
    WHEN (NEW.balance <> 0)
    EXECUTE FUNCTION ledger.refuse_account('%s opens at zero');
