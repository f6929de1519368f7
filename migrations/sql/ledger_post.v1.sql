-- The one writer of the books. Both functions run as tierce_owner, who alone may insert.
-- Its settings hold for all that ledger.post calls, triggers too. enable_* off: every join here is from
-- a short list into an index, and a plan cached while the tables were empty must not turn into a scan
-- of them when they are large, nor may it read a whole platform's accounts for each line of a list
-- while there are no statistics yet. Generic plans: no statement is planned again for each list.

-- Open what the postings marked in created use for the first time, in one order for everybody.
CREATE FUNCTION ledger.open_accounts(
    p_platform uuid, p_now timestamptz, created boolean[],
    t_posting integer[], t_debit text[], t_credit text[], t_unit text[]
) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    INSERT INTO ledger.account (platform_id, path, unit, floor, opened_at)
    SELECT p_platform, fresh.path, fresh.unit,
           CASE WHEN split_part(fresh.path, ':', 1) = 'member' THEN -coalesce(u.credit_limit, 0)
                WHEN split_part(fresh.path, ':', 1) IN ('hold', 'transit') THEN 0 END,
           p_now
    FROM (
        SELECT DISTINCT used.path, used.unit
        FROM (
            SELECT x.path, x.unit FROM unnest(t_debit, t_unit, t_posting) AS x (path, unit, ord)
            WHERE created[x.ord]
            UNION ALL
            SELECT x.path, x.unit FROM unnest(t_credit, t_unit, t_posting) AS x (path, unit, ord)
            WHERE created[x.ord]
        ) AS used
        WHERE NOT EXISTS (SELECT FROM ledger.account AS a WHERE a.platform_id = p_platform
                          AND a.path = used.path AND a.unit = used.unit)
    ) AS fresh
    LEFT JOIN ledger.unit AS u ON u.platform_id = p_platform AND u.code = fresh.unit
    ORDER BY fresh.path, fresh.unit
    ON CONFLICT (platform_id, path, unit) DO NOTHING;
END
$$;
ALTER FUNCTION ledger.open_accounts(uuid, timestamptz, boolean[], integer[], text[], text[], text[])
    OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.open_accounts(uuid, timestamptz, boolean[], integer[], text[], text[],
    text[]) FROM PUBLIC;

-- Write a list of postings whole, or fail whole. Arrays t_* are the transfers in order, t_posting
-- the ordinal of the posting each belongs to. Returns the postings that were there before: exists or
-- differs; of all others, nothing needs to be said. Runs under the settings of ledger.post.
CREATE FUNCTION ledger.write_batch(
    p_platform uuid, p_now timestamptz,
    p_ids uuid[], p_keys text[], p_hashes bytea[], p_kinds text[], p_references text[],
    p_reverses uuid[],
    t_posting integer[], t_debit text[], t_credit text[], t_amount bigint[], t_unit text[]
) RETURNS TABLE (ordinal integer, status text, posting_id uuid)
    LANGUAGE plpgsql
    AS $$
DECLARE
    claimed integer;
    created boolean[];
    debits bigint[];
    credits bigint[];
    known boolean;
BEGIN
    -- Claim the keys, in one order for everybody. Who comes second waits here for the first. Nearly
    -- always all are new, and a row that expects no conflict costs a third less.
    BEGIN
        INSERT INTO ledger.posting
            (platform_id, id, key, hash, kind, reference, reverses, recorded_at)
        SELECT p_platform, n.id, n.key, n.hash, n.kind, n.reference, n.reverses, p_now
        FROM unnest(p_ids, p_keys, p_hashes, p_kinds, p_references, p_reverses)
            AS n (id, key, hash, kind, reference, reverses)
        ORDER BY n.key;
        claimed := cardinality(p_ids);
    EXCEPTION WHEN unique_violation THEN
        -- A key twice in one list goes to the first.
        INSERT INTO ledger.posting
            (platform_id, id, key, hash, kind, reference, reverses, recorded_at)
        SELECT p_platform, n.id, n.key, n.hash, n.kind, n.reference, n.reverses, p_now
        FROM unnest(p_ids, p_keys, p_hashes, p_kinds, p_references, p_reverses) WITH ORDINALITY
            AS n (id, key, hash, kind, reference, reverses, ord)
        ORDER BY n.key, n.ord
        ON CONFLICT (platform_id, key) DO NOTHING;
        GET DIAGNOSTICS claimed = ROW_COUNT;
    END;
    IF claimed = cardinality(p_ids) THEN
        created := array_fill(true, ARRAY[claimed]);
    ELSE
        SELECT array_agg(b.id IS NOT NULL ORDER BY n.ord) INTO created
        FROM unnest(p_ids) WITH ORDINALITY AS n (id, ord)
        LEFT JOIN ledger.posting AS b ON b.platform_id = p_platform AND b.id = n.id;
    END IF;

    FOR attempt IN 1 .. 2 LOOP
        SELECT array_agg(d.id ORDER BY x.ord), array_agg(c.id ORDER BY x.ord),
               bool_and(d.id IS NOT NULL AND c.id IS NOT NULL)
        INTO debits, credits, known
        FROM unnest(t_debit, t_credit, t_unit) WITH ORDINALITY AS x (debit, credit, unit, ord)
        LEFT JOIN ledger.account AS d
            ON d.platform_id = p_platform AND d.path = x.debit AND d.unit = x.unit
        LEFT JOIN ledger.account AS c
            ON c.platform_id = p_platform AND c.path = x.credit AND c.unit = x.unit;
        EXIT WHEN known OR attempt = 2;
        PERFORM ledger.open_accounts(
            p_platform, p_now, created, t_posting, t_debit, t_credit, t_unit);
    END LOOP;

    -- The trigger of the table moves the balances, in id order.
    INSERT INTO ledger.transfer
        (platform_id, posting_id, debit_account, credit_account, amount, unit)
    SELECT p_platform, p_ids[x.posting], x.debit, x.credit, x.amount, x.unit
    FROM unnest(t_posting, debits, credits, t_amount, t_unit) WITH ORDINALITY
        AS x (posting, debit, credit, amount, unit, ord)
    WHERE created[x.posting]
    ORDER BY x.ord;

    IF claimed = cardinality(p_ids) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT n.ord::integer, CASE WHEN b.hash = n.hash THEN 'exists' ELSE 'differs' END, b.id
    FROM unnest(p_keys, p_hashes) WITH ORDINALITY AS n (key, hash, ord)
    JOIN ledger.posting AS b ON b.platform_id = p_platform AND b.key = n.key
    WHERE NOT created[n.ord]
    ORDER BY n.ord;
END
$$;
ALTER FUNCTION ledger.write_batch(uuid, timestamptz, uuid[], text[], bytea[], text[], text[],
    uuid[], integer[], text[], text[], bigint[], text[]) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.write_batch(uuid, timestamptz, uuid[], text[], bytea[], text[],
    text[], uuid[], integer[], text[], text[], bigint[], text[]) FROM PUBLIC;

-- Open and lock the accounts of a list that is decided one by one, in the order of every list: its
-- postings would do so in theirs, and two such lists could wait for each other in a ring.
CREATE FUNCTION ledger.lock_accounts(
    p_platform uuid, p_now timestamptz, created boolean[],
    t_posting integer[], t_debit text[], t_credit text[], t_unit text[]
) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM ledger.open_accounts(p_platform, p_now, created, t_posting, t_debit, t_credit, t_unit);
    PERFORM FROM ledger.account AS a
    WHERE a.platform_id = p_platform AND a.floor IS NOT NULL
      AND (a.path, a.unit) IN (
          SELECT m.path, m.unit FROM unnest(t_debit || t_credit, t_unit || t_unit) AS m (path, unit))
    ORDER BY a.id
    FOR NO KEY UPDATE;
END
$$;
ALTER FUNCTION ledger.lock_accounts(uuid, timestamptz, boolean[], integer[], text[], text[], text[])
    OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.lock_accounts(uuid, timestamptz, boolean[], integer[], text[], text[],
    text[]) FROM PUBLIC;

-- Whether this transaction is another platform's. Whoever writes for one platform does so in a
-- transaction of that platform, or of the system.
CREATE FUNCTION ledger.is_foreign(p_platform uuid) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN service.current_platform() IS DISTINCT FROM p_platform
        AND (service.current_platform() IS NOT NULL
             OR current_setting('role') = 'tierce_runtime');
ALTER FUNCTION ledger.is_foreign(uuid) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.is_foreign(uuid) FROM PUBLIC;

-- Post one posting of one transfer, without the lists, whose cost is in beginning. False: it was not
-- created, and nothing was done; ledger.post says why.
CREATE FUNCTION ledger.post_one(
    p_platform uuid, p_now timestamptz, p_id uuid, p_key text, p_hash bytea, p_kind text,
    p_reference text, p_reverses uuid, p_debit text, p_credit text, p_amount bigint, p_unit text
) RETURNS boolean
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_material = off
    SET enable_bitmapscan = off
    AS $$
DECLARE
    debit bigint;
    credit bigint;
BEGIN
    IF ledger.is_foreign(p_platform) THEN
        RAISE EXCEPTION 'this transaction belongs to another platform'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO ledger.posting
        (platform_id, id, key, hash, kind, reference, reverses, recorded_at)
    VALUES (p_platform, p_id, p_key, p_hash, p_kind, p_reference, p_reverses, p_now);
    FOR attempt IN 1 .. 2 LOOP
        SELECT (SELECT a.id FROM ledger.account AS a
                WHERE a.platform_id = p_platform AND a.path = p_debit AND a.unit = p_unit),
               (SELECT a.id FROM ledger.account AS a
                WHERE a.platform_id = p_platform AND a.path = p_credit AND a.unit = p_unit)
        INTO debit, credit;
        EXIT WHEN attempt = 2 OR debit IS NOT NULL AND credit IS NOT NULL;
        PERFORM ledger.open_accounts(p_platform, p_now, ARRAY[true], ARRAY[1], ARRAY[p_debit],
            ARRAY[p_credit], ARRAY[p_unit]);
    END LOOP;
    INSERT INTO ledger.transfer
        (platform_id, posting_id, debit_account, credit_account, amount, unit)
    VALUES (p_platform, p_id, debit, credit, p_amount, p_unit);
    RETURN true;
EXCEPTION WHEN unique_violation OR check_violation OR numeric_value_out_of_range THEN
    RETURN false;
END
$$;
ALTER FUNCTION ledger.post_one(uuid, timestamptz, uuid, text, bytea, text, text, uuid, text, text,
    bigint, text) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.post_one(uuid, timestamptz, uuid, text, bytea, text, text, uuid, text,
    text, bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.post_one(uuid, timestamptz, uuid, text, bytea, text, text, uuid,
    text, text, bigint, text) TO tierce_runtime, tierce_system;

-- Post a list: one row for each posting that was not created, with its status. When the list as a
-- whole breaks a floor, its postings are decided one by one, in order; what is refused leaves no
-- trace but, in a longer list, an account opened at zero.
CREATE FUNCTION ledger.post(
    p_platform uuid, p_now timestamptz,
    p_ids uuid[], p_keys text[], p_hashes bytea[], p_kinds text[], p_references text[],
    p_reverses uuid[],
    t_posting integer[], t_debit text[], t_credit text[], t_amount bigint[], t_unit text[]
) RETURNS TABLE (ordinal integer, status text, posting_id uuid, account text)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET enable_material = off
    SET enable_bitmapscan = off
    AS $$
DECLARE
    broken text;
    low integer;
    high integer := 0;
BEGIN
    IF ledger.is_foreign(p_platform) THEN
        RAISE EXCEPTION 'this transaction belongs to another platform'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    BEGIN
        RETURN QUERY SELECT w.ordinal, w.status, w.posting_id, NULL::text
        FROM ledger.write_batch(p_platform, p_now, p_ids, p_keys, p_hashes, p_kinds, p_references,
            p_reverses, t_posting, t_debit, t_credit, t_amount, t_unit) AS w;
        RETURN;
    EXCEPTION WHEN check_violation OR numeric_value_out_of_range THEN
        GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
        -- Any other check is a malformed posting: the caller's bug, not a refusal.
        IF SQLSTATE = '23514' AND broken <> 'ck_account_floor' THEN
            RAISE;
        END IF;
    END;
    IF cardinality(p_ids) > 1 THEN
        PERFORM ledger.lock_accounts(p_platform, p_now, array_fill(true, ARRAY[cardinality(p_ids)]),
            t_posting, t_debit, t_credit, t_unit);
    END IF;
    FOR i IN 1 .. cardinality(p_ids) LOOP
        low := high + 1;
        WHILE high < cardinality(t_posting) AND t_posting[high + 1] = i LOOP
            high := high + 1;
        END LOOP;
        BEGIN
            RETURN QUERY SELECT i, w.status, w.posting_id, NULL::text
            FROM ledger.write_batch(p_platform, p_now, p_ids[i:i], p_keys[i:i], p_hashes[i:i],
                p_kinds[i:i], p_references[i:i], p_reverses[i:i],
                array_fill(1, ARRAY[high - low + 1]), t_debit[low:high], t_credit[low:high],
                t_amount[low:high], t_unit[low:high]) AS w;
        EXCEPTION
            WHEN check_violation THEN
                RETURN QUERY SELECT i, 'breaks_floor', NULL::uuid, ledger.floor_broken(
                    p_platform, t_debit[low:high], t_credit[low:high], t_amount[low:high],
                    t_unit[low:high]);
            WHEN numeric_value_out_of_range THEN
                RETURN QUERY SELECT i, 'out_of_range', NULL::uuid, NULL::text;
        END;
    END LOOP;
END
$$;

-- Name the account whose floor stopped a posting that has just been undone.
CREATE FUNCTION ledger.floor_broken(
    p_platform uuid, t_debit text[], t_credit text[], t_amount bigint[], t_unit text[]
) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    RETURN (
        SELECT m.path
        FROM (
            SELECT x.path, x.unit, sum(x.amount) AS net
            FROM (
                SELECT path, unit, -amount FROM unnest(t_debit, t_unit, t_amount)
                    AS d (path, unit, amount)
                UNION ALL
                SELECT path, unit, amount FROM unnest(t_credit, t_unit, t_amount)
                    AS c (path, unit, amount)
            ) AS x (path, unit, amount)
            GROUP BY x.path, x.unit
        ) AS m
        LEFT JOIN ledger.account AS a
            ON a.platform_id = p_platform AND a.path = m.path AND a.unit = m.unit
        LEFT JOIN ledger.unit AS u ON u.platform_id = p_platform AND u.code = m.unit
        WHERE split_part(m.path, ':', 1) IN ('hold', 'member', 'transit')
          AND coalesce(a.balance, 0) + m.net < coalesce(a.floor,
              CASE WHEN split_part(m.path, ':', 1) = 'member' THEN -u.credit_limit END, 0)
        ORDER BY m.path LIMIT 1
    );
ALTER FUNCTION ledger.floor_broken(uuid, text[], text[], bigint[], text[]) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.floor_broken(uuid, text[], text[], bigint[], text[]) FROM PUBLIC;
ALTER FUNCTION ledger.post(uuid, timestamptz, uuid[], text[], bytea[], text[], text[],
    uuid[], integer[], text[], text[], bigint[], text[]) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.post(uuid, timestamptz, uuid[], text[], bytea[], text[], text[],
    uuid[], integer[], text[], text[], bigint[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.post(uuid, timestamptz, uuid[], text[], bytea[], text[], text[],
    uuid[], integer[], text[], text[], bigint[], text[]) TO tierce_runtime, tierce_system;

-- Set how far one member's account in a community unit may go below zero; opens it if need be.
-- A limit that the balance has passed already is refused by the account's CHECK.
CREATE FUNCTION ledger.set_credit_limit(
    p_platform uuid, p_path text, p_unit text, p_limit bigint, p_now timestamptz
) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF ledger.is_foreign(p_platform) THEN
        RAISE EXCEPTION 'this transaction belongs to another platform'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF split_part(p_path, ':', 1) <> 'member' OR NOT EXISTS (
        SELECT FROM ledger.unit AS u WHERE u.platform_id = p_platform AND u.code = p_unit) THEN
        RAISE EXCEPTION 'only a member has a credit limit, in a unit of the community'
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO ledger.account (platform_id, path, unit, floor, opened_at)
    VALUES (p_platform, p_path, p_unit, -p_limit, p_now)
    ON CONFLICT (platform_id, path, unit) DO UPDATE SET floor = EXCLUDED.floor;
END
$$;
ALTER FUNCTION ledger.set_credit_limit(uuid, text, text, bigint, timestamptz) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.set_credit_limit(uuid, text, text, bigint, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.set_credit_limit(uuid, text, text, bigint, timestamptz)
    TO tierce_runtime, tierce_system;
