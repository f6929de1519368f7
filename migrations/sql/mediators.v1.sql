-- Neutral third parties. One serves several platforms, so they belong to the instance.
CREATE TABLE disputes.mediator (
    id           uuid        NOT NULL,
    name         text        NOT NULL,
    email        text        NOT NULL,
    -- BCP 47 primary tags, such as fr.
    languages    text[]      NOT NULL,
    skills       text[]      NOT NULL,
    roles        text[]      NOT NULL,
    -- How many cases they have at once, over all platforms.
    caseload_cap integer     NOT NULL,
    -- What they take themselves of that; the less of both holds.
    caseload_wish integer,
    away_until   timestamptz,
    created_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    CONSTRAINT pk_mediator PRIMARY KEY (id),
    CONSTRAINT ck_mediator_name CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT ck_mediator_languages CHECK (cardinality(languages) > 0),
    CONSTRAINT ck_mediator_roles CHECK (
        cardinality(roles) > 0 AND roles <@ ARRAY['mediator', 'supervisor', 'operator']),
    CONSTRAINT ck_mediator_caseload_cap CHECK (caseload_cap BETWEEN 0 AND 1000),
    CONSTRAINT ck_mediator_caseload_wish CHECK (caseload_wish BETWEEN 0 AND 1000)
);
CREATE UNIQUE INDEX uq_mediator_email ON disputes.mediator (lower(email));
ALTER TABLE disputes.mediator OWNER TO tierce_owner;
GRANT SELECT, INSERT, UPDATE ON disputes.mediator TO tierce_system;
-- Both sides of a case learn who decides, and no more.
GRANT SELECT (id, name) ON disputes.mediator TO tierce_runtime;

-- Mediators are drawn from the pools that serve a platform.
CREATE TABLE disputes.pool (
    id         uuid        NOT NULL,
    name       text        NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_pool PRIMARY KEY (id),
    CONSTRAINT uq_pool_name UNIQUE (name),
    CONSTRAINT ck_pool_name CHECK (length(name) BETWEEN 1 AND 200)
);
CREATE TABLE disputes.pool_member (
    pool_id     uuid NOT NULL,
    mediator_id uuid NOT NULL,
    CONSTRAINT pk_pool_member PRIMARY KEY (pool_id, mediator_id),
    CONSTRAINT fk_pool_member_pool_id FOREIGN KEY (pool_id) REFERENCES disputes.pool (id),
    CONSTRAINT fk_pool_member_mediator_id
        FOREIGN KEY (mediator_id) REFERENCES disputes.mediator (id)
);
CREATE INDEX ix_pool_member_mediator_id ON disputes.pool_member (mediator_id);
CREATE TABLE disputes.pool_platform (
    pool_id     uuid NOT NULL,
    platform_id uuid NOT NULL,
    CONSTRAINT pk_pool_platform PRIMARY KEY (platform_id, pool_id),
    CONSTRAINT fk_pool_platform_pool_id FOREIGN KEY (pool_id) REFERENCES disputes.pool (id)
);
ALTER TABLE disputes.pool OWNER TO tierce_owner;
ALTER TABLE disputes.pool_member OWNER TO tierce_owner;
CALL service.make_tenant_table('disputes.pool_platform', 'SELECT');
GRANT SELECT, INSERT, UPDATE ON disputes.pool TO tierce_system;
GRANT SELECT, INSERT, DELETE ON disputes.pool_member, disputes.pool_platform TO tierce_system;

-- What keeps a mediator off a case. Ended ones stay: they say who could have been drawn when.
CREATE TABLE disputes.tie (
    id          uuid        NOT NULL DEFAULT uuidv7(),
    mediator_id uuid        NOT NULL,
    kind        text        NOT NULL,
    -- Of a platform's staff, or of an interest in all of it; else where the member is.
    platform_id uuid,
    member_id   uuid,
    -- SHA-256 of what identifies a payment instrument; never the number itself.
    instrument  bytea,
    note        text        NOT NULL,
    declared_by text        NOT NULL,
    declared_at timestamptz NOT NULL,
    ended_at    timestamptz,
    CONSTRAINT ck_tie_declared_by CHECK (declared_by IN ('operator', 'platform', 'mediator')),
    CONSTRAINT pk_tie PRIMARY KEY (id),
    CONSTRAINT fk_tie_mediator_id FOREIGN KEY (mediator_id) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_tie_kind CHECK (
        kind IN ('staff', 'household', 'helper', 'instrument', 'interest')),
    CONSTRAINT ck_tie_names CHECK (CASE kind
        WHEN 'staff' THEN platform_id IS NOT NULL AND member_id IS NULL AND instrument IS NULL
        WHEN 'instrument' THEN platform_id IS NULL AND member_id IS NULL AND instrument IS NOT NULL
        WHEN 'interest' THEN platform_id IS NOT NULL AND instrument IS NULL
        ELSE platform_id IS NOT NULL AND member_id IS NOT NULL AND instrument IS NULL END),
    CONSTRAINT ck_tie_instrument CHECK (octet_length(instrument) = 32)
);
CREATE INDEX ix_tie_mediator_id ON disputes.tie (mediator_id);
-- A platform learns nothing of who is tied to whom but what it has declared itself.
CALL service.make_tenant_table('disputes.tie', 'SELECT, INSERT');
GRANT UPDATE (ended_at) ON disputes.tie TO tierce_runtime, tierce_system;
CREATE POLICY own_word ON disputes.tie AS RESTRICTIVE TO tierce_runtime
    USING (platform_id = service.current_platform() AND declared_by = 'platform')
    WITH CHECK (platform_id = service.current_platform() AND declared_by = 'platform');

-- What whoever takes a case has to know, and by what its sides pay. Written, as somebody may be
-- drawn, before the case itself in the transaction that opens it.
CREATE TABLE disputes.case_need (
    platform_id uuid    NOT NULL,
    case_id     uuid    NOT NULL,
    languages   text[]  NOT NULL,
    skills      text[]  NOT NULL,
    instruments bytea[] NOT NULL,
    CONSTRAINT pk_case_need PRIMARY KEY (platform_id, case_id),
    CONSTRAINT fk_case_need_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id)
        DEFERRABLE INITIALLY DEFERRED
);
CALL service.make_tenant_table('disputes.case_need', 'SELECT, INSERT, UPDATE');

-- Who was given a case, and all that it takes to draw the same again: whoever is eligible is ranked
-- by SHA-256(seed || id), and the first are drawn.
CREATE TABLE disputes.assignment (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    case_id     uuid        NOT NULL,
    mediator_id uuid        NOT NULL,
    part        text        NOT NULL,
    -- drawn by lot, or claimed as the next in the queue by somebody eligible.
    how         text        NOT NULL,
    seed        bytea,
    eligible    uuid[]      NOT NULL,
    -- {mediator id: [codes of why not]}
    excluded    jsonb       NOT NULL,
    at          timestamptz NOT NULL,
    ended_at    timestamptz,
    ended_why   text,
    CONSTRAINT pk_assignment PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_assignment_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_assignment_mediator_id
        FOREIGN KEY (mediator_id) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_assignment_part CHECK (part IN ('mediator', 'second', 'panel')),
    CONSTRAINT ck_assignment_how CHECK (how IN ('draw', 'claim')),
    CONSTRAINT ck_assignment_seed CHECK (
        CASE how WHEN 'draw' THEN octet_length(seed) >= 16 ELSE seed IS NULL END),
    CONSTRAINT ck_assignment_eligible CHECK (mediator_id = ANY (eligible)),
    -- left: challenged, or silent for too long; the case's journal says which.
    CONSTRAINT ck_assignment_ended_why CHECK (ended_why IN ('done', 'declined', 'left')),
    CONSTRAINT ck_assignment_ended CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
CREATE UNIQUE INDEX uq_assignment_open ON disputes.assignment (platform_id, case_id, mediator_id)
    WHERE ended_at IS NULL;
CREATE UNIQUE INDEX uq_assignment_part ON disputes.assignment (platform_id, case_id, part)
    WHERE ended_at IS NULL AND part <> 'panel';
CREATE INDEX ix_assignment_mediator_id ON disputes.assignment (mediator_id, platform_id);
CREATE INDEX ix_assignment_open ON disputes.assignment (mediator_id) WHERE ended_at IS NULL;
CALL service.make_tenant_table('disputes.assignment', 'SELECT, INSERT');
GRANT UPDATE (ended_at, ended_why) ON disputes.assignment TO tierce_runtime, tierce_system;

-- Cases in which somebody neutral has to act and nobody is there (WAITS in disputes/queue.py).
CREATE INDEX ix_case_waits ON disputes.case (due_at, id)
    WHERE ((stage IN ('mediation', 'decision') AND mediator_id IS NULL)
        OR (stage = 'second_look' AND second_id IS NULL)
        OR (stage = 'appeal' AND jsonb_array_length(appeal->'panel')
            < coalesce(CAST(file->>'panel' AS integer), 1)));

-- An assignment ends once.
CREATE FUNCTION disputes.keep_assignment() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL OR NEW.ended_at IS NULL THEN
        RAISE EXCEPTION 'assignment % stands', OLD.id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
ALTER FUNCTION disputes.keep_assignment() OWNER TO tierce_owner;
CREATE TRIGGER keep_assignment BEFORE UPDATE ON disputes.assignment
    FOR EACH ROW EXECUTE FUNCTION disputes.keep_assignment();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON disputes.assignment
    FOR EACH STATEMENT EXECUTE FUNCTION service.refuse_change();

-- All that decides whether somebody may take a case of a platform, for each mediator who serves it.
-- Caseload counts every platform: this looks further than the caller could, and says no more.
CREATE FUNCTION disputes.candidates(p_platform uuid, p_case uuid, p_payer uuid, p_payee uuid,
                                    p_now timestamptz)
    RETURNS TABLE (id uuid, languages text[], skills text[], roles text[], caseload_cap integer,
                   away_until timestamptz, caseload bigint, ties jsonb, met boolean,
                   was_here boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF service.current_platform() IS DISTINCT FROM p_platform
       AND (service.current_platform() IS NOT NULL
            OR current_setting('role') = 'tierce_runtime') THEN
        RAISE EXCEPTION 'this transaction belongs to another platform'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY
    SELECT m.id, m.languages, m.skills, m.roles, least(m.caseload_cap, m.caseload_wish),
           m.away_until,
           (SELECT count(*) FROM disputes.assignment a
             WHERE a.mediator_id = m.id AND a.ended_at IS NULL),
           coalesce((SELECT jsonb_agg(jsonb_build_object('kind', t.kind,
                            'platform_id', t.platform_id, 'member_id', t.member_id,
                            'instrument', encode(t.instrument, 'hex')) ORDER BY t.id)
                       FROM disputes.tie t
                      WHERE t.mediator_id = m.id AND (t.ended_at IS NULL OR t.ended_at > p_now)
                        AND (t.platform_id IS NULL OR t.platform_id = p_platform)), '[]'),
           EXISTS (SELECT FROM disputes.assignment a
                     JOIN disputes.case c ON c.platform_id = a.platform_id AND c.id = a.case_id
                    WHERE a.mediator_id = m.id AND a.platform_id = p_platform
                      AND a.case_id <> p_case
                      AND (a.ended_at IS NULL OR a.ended_at > p_now - interval '24 months')
                      AND (c.payer_id IN (p_payer, p_payee) OR c.payee_id IN (p_payer, p_payee))),
           EXISTS (SELECT FROM disputes.assignment a
                    WHERE a.mediator_id = m.id AND a.platform_id = p_platform
                      AND a.case_id = p_case)
           OR EXISTS (SELECT FROM disputes.redecision r
                       WHERE r.mediator_id = m.id AND r.platform_id = p_platform
                         AND r.case_id = p_case)
      FROM disputes.mediator m
     WHERE (m.ended_at IS NULL OR m.ended_at > p_now)
       AND m.id IN (SELECT one.mediator_id
                      FROM disputes.pool_platform p
                      JOIN disputes.pool_member one ON one.pool_id = p.pool_id
                     WHERE p.platform_id = p_platform)
     ORDER BY m.id;
END
$$;
ALTER FUNCTION disputes.candidates(uuid, uuid, uuid, uuid, timestamptz) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION disputes.candidates(uuid, uuid, uuid, uuid, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION disputes.candidates(uuid, uuid, uuid, uuid, timestamptz)
    TO tierce_runtime, tierce_system;

-- Who has a case now and is tied to it, as it was declared after they were given it: of one platform
-- and case, or of all (in the scope of the instance). It says who, never to whom.
CREATE FUNCTION disputes.tied(p_platform uuid, p_case uuid)
    RETURNS TABLE (platform_id uuid, case_id uuid, mediator_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF (service.current_platform() IS NOT NULL OR current_setting('role') = 'tierce_runtime')
       AND (p_platform = service.current_platform()) IS NOT TRUE THEN
        RAISE EXCEPTION 'this transaction belongs to another platform'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY
    SELECT DISTINCT a.platform_id, a.case_id, a.mediator_id
      FROM disputes.tie t
      JOIN disputes.assignment a ON a.mediator_id = t.mediator_id AND a.ended_at IS NULL
      JOIN disputes.case c ON c.platform_id = a.platform_id AND c.id = a.case_id
      LEFT JOIN disputes.case_need n ON n.platform_id = a.platform_id AND n.case_id = a.case_id
     WHERE t.ended_at IS NULL
       AND (p_platform IS NULL OR a.platform_id = p_platform)
       AND (p_case IS NULL OR a.case_id = p_case)
       AND (t.instrument = ANY (n.instruments)
            OR t.platform_id = a.platform_id
               AND (t.member_id IS NULL OR t.member_id IN (c.payer_id, c.payee_id)));
END
$$;
ALTER FUNCTION disputes.tied(uuid, uuid) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION disputes.tied(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION disputes.tied(uuid, uuid) TO tierce_runtime, tierce_system;

-- Holds mediators until the end of the transaction, so that no two draws fill one's last place.
CREATE FUNCTION disputes.hold_mediators(p_ids uuid[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    PERFORM FROM disputes.mediator WHERE id = ANY (p_ids) ORDER BY id FOR NO KEY UPDATE;
END
$$;
ALTER FUNCTION disputes.hold_mediators(uuid[]) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION disputes.hold_mediators(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION disputes.hold_mediators(uuid[]) TO tierce_runtime, tierce_system;

-- A sample of decisions is decided again by somebody who has not seen them. Nothing moves by it.
CREATE TABLE disputes.redecision (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    case_id     uuid        NOT NULL,
    ruling_id   uuid        NOT NULL,
    first_id    uuid        NOT NULL,
    -- What was decided, which whoever decides again is not shown.
    first       jsonb       NOT NULL,
    mediator_id uuid        NOT NULL,
    seed        bytea       NOT NULL,
    eligible    uuid[]      NOT NULL,
    excluded    jsonb       NOT NULL,
    at          timestamptz NOT NULL,
    outcome     text,
    to_payee    jsonb,
    reasons     text,
    agrees      boolean,
    decided_at  timestamptz,
    CONSTRAINT pk_redecision PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_redecision_ruling UNIQUE (platform_id, ruling_id),
    CONSTRAINT fk_redecision_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id),
    CONSTRAINT fk_redecision_mediator_id
        FOREIGN KEY (mediator_id) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_redecision_two_people CHECK (mediator_id <> first_id),
    CONSTRAINT ck_redecision_decided CHECK (
        num_nulls(outcome, to_payee, reasons, agrees, decided_at) IN (0, 5))
);
CREATE INDEX ix_redecision_first_id ON disputes.redecision (first_id);
CREATE INDEX ix_redecision_open ON disputes.redecision (mediator_id) WHERE decided_at IS NULL;
CALL service.make_tenant_table('disputes.redecision', 'SELECT, INSERT');
GRANT UPDATE (outcome, to_payee, reasons, agrees, decided_at) ON disputes.redecision
    TO tierce_runtime, tierce_system;

-- A claim in bad faith, as the neutral who decided it found. It takes no right away: see the rule.
CREATE TABLE disputes.strike (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL DEFAULT uuidv7(),
    member_id   uuid        NOT NULL,
    case_id     uuid        NOT NULL,
    reason      text        NOT NULL,
    by_id       uuid        NOT NULL,
    at          timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    lifted_at   timestamptz,
    lifted_by_id uuid,
    CONSTRAINT pk_strike PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_strike_case UNIQUE (platform_id, case_id, member_id),
    CONSTRAINT fk_strike_platform_id_case_id
        FOREIGN KEY (platform_id, case_id) REFERENCES disputes.case (platform_id, id),
    CONSTRAINT fk_strike_by_id FOREIGN KEY (by_id) REFERENCES disputes.mediator (id),
    CONSTRAINT fk_strike_lifted_by_id
        FOREIGN KEY (lifted_by_id) REFERENCES disputes.mediator (id),
    CONSTRAINT ck_strike_lifted CHECK ((lifted_at IS NULL) = (lifted_by_id IS NULL)),
    CONSTRAINT ck_strike_expires_at CHECK (expires_at > at)
);
CREATE INDEX ix_strike_member_id ON disputes.strike (platform_id, member_id, at);
CALL service.make_tenant_table('disputes.strike', 'SELECT, INSERT');
GRANT UPDATE (lifted_at, lifted_by_id) ON disputes.strike TO tierce_runtime, tierce_system;
