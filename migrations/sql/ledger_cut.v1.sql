-- Cut the balances of a platform's accounts without a floor: what one snapshot of finished
-- transactions saw. A later balance is the cut plus every transfer whose transaction that snapshot
-- did not see.
--
-- low_id bounds the search for those: no transfer with id <= low_id can still commit. An id is
-- drawn by a transaction that has its transaction id already (its posting was inserted before), so
-- whoever drew an id up to a mark's last_id is older than the mark's own transaction, whose id was
-- drawn after last_id was read; once all older ones have ended (xmin has come to it), everything up
-- to last_id is settled for good. The xmax of a snapshot would not do for this: it follows the
-- latest transaction that has ended, and younger ones run already.
--
-- A cut has a transaction of its own: a snapshot does not say of its own transaction whether it is
-- finished, and one that has written drew its id before the sequence is read. Read committed: who
-- waited here sees the cut before.
CREATE FUNCTION ledger.take_cut(p_platform uuid) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    settled bigint;
    last bigint;
    cuts bigint;
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL
       OR current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'a cut is taken in a transaction of its own, read committed'
            USING ERRCODE = 'active_sql_transaction';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ledger.take_cut:' || p_platform, 0));
    SELECT coalesce(max(m.last_id), 0) INTO settled FROM ledger.mark AS m
    WHERE m.platform_id = p_platform AND m.tx <= pg_snapshot_xmin(pg_current_snapshot());
    -- The sequence is read before this transaction draws its id: nothing is written above.
    SELECT coalesce(pg_sequence_last_value('ledger.transfer_id_seq'), 0) INTO last;
    INSERT INTO ledger.mark (platform_id, last_id, tx)
    VALUES (p_platform, last, pg_current_xact_id())
    ON CONFLICT (platform_id, last_id) DO NOTHING;
    DELETE FROM ledger.mark AS m WHERE m.platform_id = p_platform AND m.last_id < settled;

    INSERT INTO ledger.cut AS old (platform_id, account_id, balance, snapshot, low_id)
    SELECT p_platform, a.id, ledger.unfloored_balance(p_platform, a.id), pg_current_snapshot(),
           settled
    FROM ledger.account AS a
    WHERE a.platform_id = p_platform AND a.floor IS NULL
    ON CONFLICT (platform_id, account_id) DO UPDATE
    SET balance = EXCLUDED.balance, snapshot = EXCLUDED.snapshot, low_id = EXCLUDED.low_id;
    GET DIAGNOSTICS cuts = ROW_COUNT;
    RETURN cuts;
END
$$;

-- Cut plus transfers since. STABLE: it reads with the snapshot of the statement that calls it. The
-- bound is a CASE because row-level security takes COALESCE for a leak and keeps it out of the index.
CREATE FUNCTION ledger.unfloored_balance(p_platform uuid, p_account bigint) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN (
        SELECT (coalesce(max(c.balance), 0) + coalesce(sum(m.amount), 0))::bigint
        FROM (SELECT 1) AS one
        LEFT JOIN ledger.cut AS c ON c.platform_id = p_platform AND c.account_id = p_account
        LEFT JOIN LATERAL (
            SELECT t.amount FROM ledger.transfer AS t
            WHERE t.platform_id = p_platform AND t.credit_account = p_account
              AND t.id > CASE WHEN c.low_id IS NULL THEN 0 ELSE c.low_id END
              AND (c.snapshot IS NULL OR NOT pg_visible_in_snapshot(t.tx, c.snapshot))
            UNION ALL
            SELECT -t.amount FROM ledger.transfer AS t
            WHERE t.platform_id = p_platform AND t.debit_account = p_account
              AND t.id > CASE WHEN c.low_id IS NULL THEN 0 ELSE c.low_id END
              AND (c.snapshot IS NULL OR NOT pg_visible_in_snapshot(t.tx, c.snapshot))
        ) AS m ON true
    );
ALTER FUNCTION ledger.unfloored_balance(uuid, bigint) OWNER TO tierce_owner;
ALTER FUNCTION ledger.take_cut(uuid) OWNER TO tierce_owner;
REVOKE ALL ON FUNCTION ledger.take_cut(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.take_cut(uuid) TO tierce_system;
