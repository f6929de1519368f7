-- What the sides of a case and the platform bring to it. Both sides and the neutrals read the same.
CREATE TABLE disputes.evidence (
    platform_id   uuid        NOT NULL,
    id            uuid        NOT NULL,
    case_id       uuid        NOT NULL,
    -- Which piece of its case this is, from 1: the list of a case only grows.
    ordinal       integer     NOT NULL,
    sort          text        NOT NULL,
    -- Whose it is, as the journal names actors; and whose credential brought it.
    author        text        NOT NULL,
    via           text        NOT NULL,
    at            timestamptz NOT NULL,
    -- Brought when the time for evidence was over: kept, and shown as such.
    late          boolean     NOT NULL,
    request_id    uuid,
    text          text,
    data          jsonb       NOT NULL DEFAULT '{}',
    -- SHA-256 of all that it says (disputes/evidence.py); it outlives what it is of.
    hash          text        NOT NULL,
    -- Of a file: SHA-256 as it was sent and as it is kept (without metadata), its type and bytes.
    original_hash text,
    file_hash     text,
    media_type    text,
    size          integer     NOT NULL DEFAULT 0,
    -- How long it is kept after the case has closed, and the date that makes when it has.
    keep_days     integer     NOT NULL,
    delete_at     timestamptz,
    deleted_at    timestamptz,
    CONSTRAINT pk_evidence PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_evidence_ordinal UNIQUE (platform_id, case_id, ordinal),
    CONSTRAINT fk_evidence_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id),
    CONSTRAINT ck_evidence_ordinal CHECK (ordinal > 0),
    CONSTRAINT ck_evidence_sort CHECK (sort IN ('text', 'photo', 'document', 'carrier',
        'handover_proof', 'condition_out', 'condition_back')),
    CONSTRAINT ck_evidence_author CHECK (author IN ('payer', 'payee', 'platform')),
    CONSTRAINT ck_evidence_via CHECK (via IN ('member', 'platform')),
    CONSTRAINT ck_evidence_hash CHECK (hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ck_evidence_file CHECK (
        CASE WHEN file_hash IS NULL THEN original_hash IS NULL AND media_type IS NULL AND size = 0
             ELSE file_hash ~ '^[0-9a-f]{64}$' AND original_hash ~ '^[0-9a-f]{64}$'
                  AND media_type IS NOT NULL AND size > 0 END),
    CONSTRAINT ck_evidence_keep_days CHECK (keep_days > 0),
    CONSTRAINT ck_evidence_deleted CHECK (
        deleted_at IS NULL OR (delete_at <= deleted_at AND text IS NULL AND data = '{}'))
);
-- What is due to be deleted; and whether anything else still needs a file.
CREATE INDEX ix_evidence_delete_at ON disputes.evidence (platform_id, delete_at)
    WHERE delete_at IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX ix_evidence_file_hash ON disputes.evidence (file_hash)
    WHERE file_hash IS NOT NULL AND deleted_at IS NULL;
CALL service.make_tenant_table('disputes.evidence', 'SELECT, INSERT');
GRANT UPDATE (delete_at, deleted_at, text, data) ON disputes.evidence
    TO tierce_runtime, tierce_system;

-- Evidence stands as it was brought, until its date: then what it said goes, and the hash stays.
CREATE FUNCTION disputes.keep_evidence() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.deleted_at IS NOT NULL
       OR (OLD.delete_at IS NOT NULL AND NEW.delete_at IS DISTINCT FROM OLD.delete_at)
       OR (NEW.deleted_at IS NULL
           AND (OLD.text, OLD.data) IS DISTINCT FROM (NEW.text, NEW.data))
       OR to_jsonb(OLD) - ARRAY['delete_at', 'deleted_at', 'text', 'data']
          IS DISTINCT FROM
          to_jsonb(NEW) - ARRAY['delete_at', 'deleted_at', 'text', 'data'] THEN
        RAISE EXCEPTION 'evidence % stands', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION disputes.keep_evidence() OWNER TO tierce_owner;
CREATE TRIGGER keep_evidence BEFORE UPDATE ON disputes.evidence
    FOR EACH ROW EXECUTE FUNCTION disputes.keep_evidence();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON disputes.evidence
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- A case that closes gives its evidence the date of its deletion, whoever closes it and how.
CREATE FUNCTION disputes.date_evidence() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE disputes.evidence SET delete_at = NEW.closed_at + make_interval(days => keep_days)
    WHERE platform_id = NEW.platform_id AND case_id = NEW.id;
    RETURN NULL;
END
$$;
ALTER FUNCTION disputes.date_evidence() OWNER TO tierce_owner;
CREATE TRIGGER date_evidence AFTER UPDATE ON disputes.case
    FOR EACH ROW WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL)
    EXECUTE FUNCTION disputes.date_evidence();

-- What a neutral asks of one side: a sort of evidence or a question that the case's reason lists.
CREATE TABLE disputes.evidence_request (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    case_id     uuid        NOT NULL,
    side        text        NOT NULL,
    sort        text,
    question    text,
    mediator_id uuid        NOT NULL,
    at          timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    answered_at timestamptz,
    evidence_id uuid,
    CONSTRAINT pk_evidence_request PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_evidence_request_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id),
    CONSTRAINT fk_evidence_request_platform_id_evidence_id
        FOREIGN KEY (platform_id, evidence_id) REFERENCES disputes.evidence (platform_id, id),
    CONSTRAINT ck_evidence_request_side CHECK (side IN ('payer', 'payee')),
    CONSTRAINT ck_evidence_request_one CHECK (num_nonnulls(sort, question) = 1),
    CONSTRAINT ck_evidence_request_due_at CHECK (due_at > at),
    CONSTRAINT ck_evidence_request_answer CHECK ((answered_at IS NULL) = (evidence_id IS NULL))
);
CREATE INDEX ix_evidence_request_case ON disputes.evidence_request (platform_id, case_id, id);
-- The same is not asked of a side twice while it is open.
CREATE UNIQUE INDEX uq_evidence_request_open ON disputes.evidence_request
    (platform_id, case_id, side, coalesce(sort, question)) WHERE answered_at IS NULL;
CALL service.make_tenant_table('disputes.evidence_request', 'SELECT, INSERT');
GRANT UPDATE (answered_at, evidence_id) ON disputes.evidence_request
    TO tierce_runtime, tierce_system;

-- A request is answered once, and nothing else about it changes.
CREATE FUNCTION disputes.keep_evidence_request() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.answered_at IS NOT NULL
       OR to_jsonb(OLD) - ARRAY['answered_at', 'evidence_id']
          IS DISTINCT FROM to_jsonb(NEW) - ARRAY['answered_at', 'evidence_id'] THEN
        RAISE EXCEPTION 'request % stands', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION disputes.keep_evidence_request() OWNER TO tierce_owner;
CREATE TRIGGER keep_evidence_request BEFORE UPDATE ON disputes.evidence_request
    FOR EACH ROW EXECUTE FUNCTION disputes.keep_evidence_request();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON disputes.evidence_request
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- Evidence brought for a request names one of its own case.
ALTER TABLE disputes.evidence
    ADD CONSTRAINT fk_evidence_platform_id_request_id
        FOREIGN KEY (platform_id, request_id)
        REFERENCES disputes.evidence_request (platform_id, id);

-- Who looked at what, and when. A look at the list is a look at its first pieces: ``upto`` of them.
CREATE TABLE disputes.evidence_view (
    platform_id uuid        NOT NULL,
    id          bigint      GENERATED ALWAYS AS IDENTITY,
    case_id     uuid        NOT NULL,
    viewer      text        NOT NULL,
    at          timestamptz NOT NULL,
    evidence_id uuid,
    upto        integer,
    CONSTRAINT pk_evidence_view PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_evidence_view_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id),
    CONSTRAINT fk_evidence_view_platform_id_evidence_id
        FOREIGN KEY (platform_id, evidence_id) REFERENCES disputes.evidence (platform_id, id),
    CONSTRAINT ck_evidence_view_viewer CHECK (
        viewer ~ '^(payer|payee|platform|mediator:[0-9a-f-]{36})$'),
    CONSTRAINT ck_evidence_view_one CHECK (num_nonnulls(evidence_id, upto) = 1)
);
CREATE INDEX ix_evidence_view_case ON disputes.evidence_view (platform_id, case_id, id);
CALL service.make_tenant_table('disputes.evidence_view', 'SELECT, INSERT');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON disputes.evidence_view
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();
