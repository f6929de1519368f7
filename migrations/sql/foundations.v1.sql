-- The roles of a running instance. They cannot log in: the login role of TIERCE_DATABASE_URL
-- becomes one of them for the length of each transaction (service/db.py).
--   tierce_owner    owns every object; used by migrations only
--   tierce_runtime  acts inside one platform, kept there by row-level security
--   tierce_system   acts across platforms: sweeps, key look-up, audit
-- Roles belong to the cluster, so another database of the same cluster may have made them already.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tierce_owner', 'tierce_runtime', 'tierce_system'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', wanted);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
    END LOOP;
    EXECUTE format('GRANT CREATE, CONNECT ON DATABASE %I TO tierce_owner', current_database());
END
$$;

CREATE SCHEMA ledger AUTHORIZATION tierce_owner;
CREATE SCHEMA service AUTHORIZATION tierce_owner;
CREATE SCHEMA disputes AUTHORIZATION tierce_owner;
GRANT USAGE ON SCHEMA ledger, service, disputes TO tierce_runtime, tierce_system;

-- The platform of the current transaction, or NULL outside of one. Every policy asks this.
CREATE FUNCTION service.current_platform() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tierce.platform_id', true), '')::uuid;
ALTER FUNCTION service.current_platform() OWNER TO tierce_owner;

-- Append-only tables carry this trigger: even their owner is stopped from a mistaken change.
CREATE FUNCTION service.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation',
              HINT = 'Record a new fact that corrects the old one.';
END
$$;
ALTER FUNCTION service.refuse_change() OWNER TO tierce_owner;

-- Puts a tenant table under the owner, row-level security and the grants of the two roles.
-- grants_wanted is what tierce_runtime may do, such as 'SELECT, INSERT'.
CREATE PROCEDURE service.make_tenant_table(wanted regclass, grants_wanted text)
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s OWNER TO tierce_owner', wanted);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', wanted);
    EXECUTE format('CREATE POLICY of_platform ON %s TO tierce_runtime '
                   'USING (platform_id = service.current_platform()) '
                   'WITH CHECK (platform_id = service.current_platform())', wanted);
    EXECUTE format('CREATE POLICY of_system ON %s TO tierce_system '
                   'USING (true) WITH CHECK (true)', wanted);
    EXECUTE format('GRANT %s ON %s TO tierce_runtime, tierce_system', grants_wanted, wanted);
END
$$;
ALTER PROCEDURE service.make_tenant_table(regclass, text) OWNER TO tierce_owner;
