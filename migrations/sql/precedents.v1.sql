-- What those who decide publish and share. It belongs to the instance and names nobody.

-- A decision that others can go by, told without names, places and amounts.
CREATE TABLE disputes.precedent (
    id            uuid        NOT NULL,
    -- SHA-256 of the platform's and the case's id: one for each case and language, and nobody who
    -- reads the table learns which case it was.
    of_case       bytea       NOT NULL,
    -- live or sandbox: what was played is no example for what is real.
    mode          text        NOT NULL,
    language      text        NOT NULL,
    kind          text        NOT NULL,
    reason        text        NOT NULL,
    outcome       text        NOT NULL,
    reason_code   text        NOT NULL,
    -- What the payee got of each part, in whole percent.
    to_payee      smallint[]  NOT NULL,
    asked         text        NOT NULL,
    text          text        NOT NULL,
    published_at  timestamptz NOT NULL,
    published_by  uuid        NOT NULL,
    withdrawn_at  timestamptz,
    withdrawn_by  uuid,
    withdrawn_why text,
    CONSTRAINT pk_precedent PRIMARY KEY (id),
    CONSTRAINT fk_precedent_published_by
        FOREIGN KEY (published_by) REFERENCES disputes.mediator (id),
    CONSTRAINT fk_precedent_withdrawn_by
        FOREIGN KEY (withdrawn_by) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_precedent_of_case CHECK (octet_length(of_case) = 32),
    CONSTRAINT ck_precedent_mode CHECK (mode IN ('live', 'sandbox')),
    CONSTRAINT ck_precedent_to_payee CHECK (
        cardinality(to_payee) > 0 AND 0 <= ALL (to_payee) AND 100 >= ALL (to_payee)),
    CONSTRAINT ck_precedent_withdrawn CHECK (
        num_nulls(withdrawn_at, withdrawn_by, withdrawn_why) IN (0, 3))
);
-- One that stands for each case and language.
CREATE UNIQUE INDEX uq_precedent_of_case ON disputes.precedent (of_case, language)
    WHERE withdrawn_at IS NULL;
CREATE INDEX ix_precedent_shown ON disputes.precedent (mode, id) WHERE withdrawn_at IS NULL;
ALTER TABLE disputes.precedent OWNER TO tierce_owner;
GRANT SELECT, INSERT ON disputes.precedent TO tierce_system;
GRANT UPDATE (withdrawn_at, withdrawn_by, withdrawn_why) ON disputes.precedent TO tierce_system;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON disputes.precedent
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- Words for decisions, with blanks to fill in: {{what_was_shown}}.
CREATE TABLE disputes.template (
    id         uuid        NOT NULL,
    language   text        NOT NULL,
    -- None: for every reason.
    reason     text,
    outcome    text        NOT NULL,
    title      text        NOT NULL,
    text       text        NOT NULL,
    created_at timestamptz NOT NULL,
    created_by uuid        NOT NULL,
    retired_at timestamptz,
    CONSTRAINT pk_template PRIMARY KEY (id),
    CONSTRAINT fk_template_created_by FOREIGN KEY (created_by) REFERENCES disputes.mediator (id)
);
CREATE INDEX ix_template_outcome ON disputes.template (outcome, language) WHERE retired_at IS NULL;
ALTER TABLE disputes.template OWNER TO tierce_owner;
GRANT SELECT, INSERT ON disputes.template TO tierce_system;
GRANT UPDATE (retired_at) ON disputes.template TO tierce_system;

-- How disputes went in a quarter that is over: counted when first asked for, and answered so ever
-- after, for nothing of it changes any more. Only counts that point at nobody are here.
CREATE TABLE disputes.quarter (
    -- Such as 2027-Q1, in UTC.
    name    text        NOT NULL,
    -- Of what is counted: another one counts again.
    version smallint    NOT NULL,
    figures jsonb       NOT NULL,
    made_at timestamptz NOT NULL,
    CONSTRAINT pk_quarter PRIMARY KEY (name, version),
    CONSTRAINT ck_quarter_name CHECK (name ~ '^[0-9]{4}-Q[1-4]$')
);
ALTER TABLE disputes.quarter OWNER TO tierce_owner;
GRANT SELECT, INSERT ON disputes.quarter TO tierce_system;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON disputes.quarter
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();
CREATE INDEX ix_case_closed_at ON disputes.case (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX ix_case_opened_at ON disputes.case (opened_at);
CREATE INDEX ix_case_id ON disputes.case (id);
