-- Where each reader of the outbox stands. A reader takes the events of all platforms in the order
-- of their transactions, works on them in the transaction that moves its place, and so handles
-- each exactly once.
CREATE TABLE service.feed (
    consumer text  NOT NULL,
    tx       xid8  NOT NULL,
    id       uuid  NOT NULL,
    CONSTRAINT pk_feed PRIMARY KEY (consumer)
);
ALTER TABLE service.feed OWNER TO tierce_owner;
GRANT SELECT, UPDATE ON service.feed TO tierce_system;
INSERT INTO service.feed VALUES
    ('webhooks', '0', '00000000-0000-0000-0000-000000000000'),
    ('messages', '0', '00000000-0000-0000-0000-000000000000');
CREATE INDEX ix_event_tx ON service.event (tx, id);
