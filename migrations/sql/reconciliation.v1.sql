-- One day of a provider's books compared with ours. Running a day again brings its counts up to date.
CREATE TABLE service.reconciliation_run (
    platform_id    uuid        NOT NULL,
    provider       text        NOT NULL,
    day            date        NOT NULL, -- UTC
    matched        bigint      NOT NULL DEFAULT 0,
    ours_only      bigint      NOT NULL DEFAULT 0,
    theirs_only    bigint      NOT NULL DEFAULT 0,
    amount_differs bigint      NOT NULL DEFAULT 0,
    -- Lines of payments that the provider has not finished yet.
    in_flight      bigint      NOT NULL DEFAULT 0,
    -- Of the provider's books: how many lines, and by unit what they moved and what was taken of it.
    lines          bigint      NOT NULL DEFAULT 0,
    totals         jsonb       NOT NULL DEFAULT '{}',
    started_at     timestamptz NOT NULL,
    finished_at    timestamptz,
    CONSTRAINT pk_reconciliation_run PRIMARY KEY (platform_id, provider, day),
    CONSTRAINT ck_reconciliation_run_counts CHECK (
        least(matched, ours_only, theirs_only, amount_differs, in_flight, lines) >= 0)
);
CALL service.make_tenant_table('service.reconciliation_run', 'SELECT, INSERT, UPDATE');

-- Which line of the provider's books speaks of which posting of ours. A posting is spoken of once;
-- only the two lines of what failed at once (out and back) share the one that undid it.
CREATE TABLE service.reconciliation_match (
    platform_id  uuid   NOT NULL,
    provider     text   NOT NULL,
    movement_ref text   NOT NULL,
    posting_key  text   NOT NULL,
    day          date   NOT NULL, -- of the movement, UTC
    CONSTRAINT pk_reconciliation_match
        PRIMARY KEY (platform_id, movement_ref, posting_key, provider)
);
-- In all of these the provider comes last: before the table's first statistics an index that begins
-- with platform and provider, which tell nothing apart, would look as good as the right one.
CREATE UNIQUE INDEX uq_reconciliation_match_posting
    ON service.reconciliation_match (platform_id, posting_key, provider)
    WHERE posting_key NOT LIKE 'back:%';
-- The one above is no help to a lookup, whose keys may be any.
CREATE INDEX ix_reconciliation_match_posting
    ON service.reconciliation_match (platform_id, posting_key, provider);
CREATE INDEX ix_reconciliation_match_day ON service.reconciliation_match (platform_id, day, provider);
CALL service.make_tenant_table('service.reconciliation_match', 'SELECT, INSERT');

-- What one side's books say and the other's do not. subject tells one difference from another: the
-- movement (its fee apart: ref:fee), the posting of ours, or the day's balance of a unit.
CREATE TABLE service.reconciliation_difference (
    platform_id  uuid        NOT NULL,
    id           uuid        NOT NULL,
    provider     text        NOT NULL,
    day          date        NOT NULL,
    kind         text        NOT NULL,
    subject      text        NOT NULL,
    movement_ref text,
    -- What the movement said of itself, to look for its other half again.
    movement     text,
    object_ref   text,
    fee          bigint      NOT NULL DEFAULT 0,
    description  text,
    -- The posting of ours that is meant, whether it is there or missing.
    posting_key  text,
    payment_id   uuid,
    -- Signed minor units of unit: what was added to what the provider holds for the platform.
    ours         bigint      NOT NULL,
    theirs       bigint      NOT NULL,
    unit         text        NOT NULL,
    -- Whether theirs less ours stands in suspense.
    suspended    boolean     NOT NULL DEFAULT false,
    found_at     timestamptz NOT NULL,
    resolved_at  timestamptz,
    resolution   text,
    reason       text,
    resolved_by  text,
    member_id    uuid,
    -- The difference that says the opposite: each of the two took the other back.
    reversed_by  uuid,
    CONSTRAINT pk_reconciliation_difference PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_reconciliation_difference_subject
        UNIQUE (platform_id, provider, kind, subject),
    CONSTRAINT fk_reconciliation_difference_platform_id_payment_id
        FOREIGN KEY (platform_id, payment_id) REFERENCES service.payment (platform_id, id),
    CONSTRAINT fk_reconciliation_difference_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_reconciliation_difference_kind CHECK (kind IN (
        'ours_only', 'theirs_only', 'amount_differs', 'balance_differs', 'in_flight',
        'bank_payout_exceeds_own_money')),
    CONSTRAINT ck_reconciliation_difference_resolution CHECK (resolution IN (
        'healed', 'platform_bears', 'belongs_to_member', 'reversed_by_provider', 'explained')),
    CONSTRAINT ck_reconciliation_difference_resolved CHECK (
        (resolved_at IS NULL) = (resolution IS NULL)),
    CONSTRAINT ck_reconciliation_difference_reason CHECK (
        resolution IS NULL OR resolution = 'healed'
        OR (reason IS NOT NULL AND resolved_by IS NOT NULL)),
    CONSTRAINT ck_reconciliation_difference_member CHECK (
        (member_id IS NOT NULL) = (resolution IS NOT DISTINCT FROM 'belongs_to_member')),
    CONSTRAINT ck_reconciliation_difference_reversed_by CHECK (
        (reversed_by IS NOT NULL) = (resolution IS NOT DISTINCT FROM 'reversed_by_provider')),
    CONSTRAINT ck_reconciliation_difference_suspended CHECK (
        NOT suspended OR kind IN ('theirs_only', 'amount_differs'))
);
CREATE INDEX ix_reconciliation_difference_movement
    ON service.reconciliation_difference (platform_id, movement_ref, provider);
CREATE INDEX ix_reconciliation_difference_day
    ON service.reconciliation_difference (platform_id, day, provider);
CREATE INDEX ix_reconciliation_difference_open
    ON service.reconciliation_difference (platform_id, provider, kind) WHERE resolved_at IS NULL;
CALL service.make_tenant_table('service.reconciliation_difference', 'SELECT, INSERT, UPDATE');

-- A found difference stays what it was found to be; it is resolved once.
CREATE FUNCTION service.keep_difference() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF (OLD.platform_id, OLD.id, OLD.provider, OLD.day, OLD.kind, OLD.subject, OLD.movement_ref,
        OLD.ours, OLD.theirs, OLD.unit, OLD.found_at) IS DISTINCT FROM
       (NEW.platform_id, NEW.id, NEW.provider, NEW.day, NEW.kind, NEW.subject, NEW.movement_ref,
        NEW.ours, NEW.theirs, NEW.unit, NEW.found_at)
       OR (OLD.resolved_at IS NOT NULL AND (OLD.resolved_at, OLD.resolution, OLD.reason) IS DISTINCT
           FROM (NEW.resolved_at, NEW.resolution, NEW.reason))
    THEN
        RAISE EXCEPTION 'difference % stays as it was found and as it was resolved', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION service.keep_difference() OWNER TO tierce_owner;
CREATE TRIGGER keep_difference BEFORE UPDATE ON service.reconciliation_difference
    FOR EACH ROW EXECUTE FUNCTION service.keep_difference();

-- While one stands that is not cleared, no payout of the platform leaves.
CREATE TABLE service.payout_stop (
    platform_id    uuid        NOT NULL,
    id             uuid        NOT NULL,
    since          timestamptz NOT NULL,
    reason         text        NOT NULL,
    cleared_at     timestamptz,
    cleared_by     text,
    cleared_reason text,
    CONSTRAINT pk_payout_stop PRIMARY KEY (platform_id, id),
    CONSTRAINT ck_payout_stop_cleared CHECK (
        (cleared_at IS NULL) = (cleared_by IS NULL)
        AND (cleared_at IS NULL) = (cleared_reason IS NULL))
);
CREATE UNIQUE INDEX uq_payout_stop_standing ON service.payout_stop (platform_id)
    WHERE cleared_at IS NULL;
CALL service.make_tenant_table('service.payout_stop', 'SELECT, INSERT, UPDATE');

-- Postings of a day are looked for by when they were recorded. They are appended in that order, so
-- the bounds of each range of pages are all that has to be kept.
CREATE INDEX ix_posting_recorded_at ON ledger.posting
    USING brin (recorded_at) WITH (pages_per_range = 16, autosummarize = on);

-- When an object of the sandbox's came to its end, as a line of its books.
ALTER TABLE service.sandbox_object ADD COLUMN settled_at timestamptz;
CREATE INDEX ix_sandbox_object_settled_at
    ON service.sandbox_object (platform_id, settled_at, ref) WHERE status = 'succeeded';
