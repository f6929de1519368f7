-- When the clock has something to do in a case: its stage is over, or the limit of what may be held
-- is reached where a case can still end by it (due() in service/exchanges/case_clocks.py).
CREATE INDEX ix_case_clock ON disputes.case (
    least(due_at, CASE WHEN stage IN ('talk', 'mediation', 'decision', 'second_look')
                       THEN decide_by END))
    WHERE due_at IS NOT NULL;

-- A case whose clock could not be taken further as it stood then, and when that is tried again.
-- A case that has moved on since (another version) is not held to it.
CREATE TABLE service.case_stuck (
    platform_id uuid        NOT NULL,
    case_id     uuid        NOT NULL,
    version     integer     NOT NULL,
    failures    smallint    NOT NULL,
    try_at      timestamptz NOT NULL,
    CONSTRAINT pk_case_stuck PRIMARY KEY (platform_id, case_id),
    CONSTRAINT fk_case_stuck_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id)
);
CALL service.make_tenant_table('service.case_stuck', 'SELECT, INSERT, UPDATE');

-- Decisions for which it is settled whether somebody decides them again, by lot.
CREATE TABLE service.sampled_ruling (
    platform_id uuid        NOT NULL,
    case_id     uuid        NOT NULL,
    ruling_id   uuid        NOT NULL,
    at          timestamptz NOT NULL,
    CONSTRAINT pk_sampled_ruling PRIMARY KEY (platform_id, ruling_id),
    CONSTRAINT fk_sampled_ruling_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id)
);
CALL service.make_tenant_table('service.sampled_ruling', 'SELECT, INSERT');
CREATE INDEX ix_case_ruled ON disputes.case (closed_at) WHERE ruling IS NOT NULL;
