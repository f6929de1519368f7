-- A member reads eight letters of an exchange's id to whoever helps them, on the telephone or at a
-- counter: 40 bits, the last ten hexadecimal digits, of the 62 that are random in a UUIDv7.
-- A column, and no index of an expression: under row-level security the planner uses an index
-- with functions that are declared leakproof alone, and right() is not.
ALTER TABLE service.exchange
    ADD COLUMN ending text NOT NULL GENERATED ALWAYS AS (right(id::text, 10)) STORED;
CREATE INDEX ix_exchange_platform_id_ending ON service.exchange (platform_id, ending);
