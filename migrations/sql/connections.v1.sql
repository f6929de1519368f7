-- A platform's own account at a payment provider. Its secrets are sealed under a key that is not in
-- the database (service/payments/connections.py), so a backup alone opens nothing.
CREATE TABLE service.provider_connection (
    platform_id                  uuid        NOT NULL,
    provider                     text        NOT NULL,
    -- The account's id at the provider, once a check has read it.
    account_ref                  text,
    secret_key_sealed            bytea       NOT NULL,
    publishable_key              text,
    -- Signing secrets of the two webhook endpoints, several while they are rotated.
    webhook_secrets_sealed       bytea       NOT NULL,
    payee_webhook_secrets_sealed bytea       NOT NULL,
    -- Every event of the provider until here is in the inbox, whatever webhooks were lost.
    events_seen_until            timestamptz NOT NULL,
    connected_at                 timestamptz NOT NULL,
    checked_at                   timestamptz,
    -- Counts the changes of what a client is made of.
    version                      integer     NOT NULL,
    CONSTRAINT pk_provider_connection PRIMARY KEY (platform_id, provider),
    CONSTRAINT fk_provider_connection_platform_id
        FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    CONSTRAINT ck_provider_connection_provider CHECK (provider IN ('stripe')),
    CONSTRAINT ck_provider_connection_account_ref CHECK (account_ref ~ '^acct_[A-Za-z0-9_]{1,200}$'),
    CONSTRAINT ck_provider_connection_version CHECK (version >= 1)
);
CREATE INDEX ix_provider_connection_account_ref
    ON service.provider_connection (provider, account_ref);
CALL service.make_tenant_table('service.provider_connection', 'SELECT, INSERT, UPDATE, DELETE');

-- A delivery to a webhook endpoint that was not the provider's word, kept for whoever looks why.
-- Of the body there is only a digest: anybody can send anything here.
CREATE TABLE service.refused_delivery (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    provider    text        NOT NULL,
    endpoint    text        NOT NULL,
    reason      text        NOT NULL,
    digest      bytea       NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT pk_refused_delivery PRIMARY KEY (platform_id, id),
    -- The same delivery sent again is the same line.
    CONSTRAINT uq_refused_delivery_platform_id_digest
        UNIQUE (platform_id, provider, endpoint, digest),
    CONSTRAINT fk_refused_delivery_platform_id
        FOREIGN KEY (platform_id) REFERENCES service.platform (id),
    CONSTRAINT ck_refused_delivery_endpoint CHECK (endpoint IN ('platform', 'payees')),
    CONSTRAINT ck_refused_delivery_digest CHECK (length(digest) = 32)
);
CREATE INDEX ix_refused_delivery_received_at
    ON service.refused_delivery (platform_id, received_at);
CALL service.make_tenant_table('service.refused_delivery', 'SELECT, INSERT, DELETE');
