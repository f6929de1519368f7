-- What a member is told: one row for each event, member and template, so that reading an event
-- again tells nobody anything twice. What identifies the person is in message_text and can be
-- erased; facts hold amounts, instants and names of steps only.
CREATE TABLE service.message (
    platform_id uuid        NOT NULL,
    id          uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    exchange_id uuid,
    event_id    uuid        NOT NULL,
    template    text        NOT NULL,
    category    text        NOT NULL,
    urgent      boolean     NOT NULL,
    facts       jsonb       NOT NULL,
    channel     text,
    state       text        NOT NULL,
    reason      text,
    made_at     timestamptz NOT NULL,
    -- In real time: when it is to be tried, or, while it is being sent, when whoever took it has
    -- died and another may.
    due_at      timestamptz,
    attempts    integer     NOT NULL DEFAULT 0,
    -- How often the platform asked for it again; a mail sent anew on purpose is another mail.
    resends     integer     NOT NULL DEFAULT 0,
    sent_at     timestamptz,
    CONSTRAINT pk_message PRIMARY KEY (platform_id, id),
    CONSTRAINT uq_message_platform_id_event_id_member_id_template
        UNIQUE (platform_id, event_id, member_id, template),
    CONSTRAINT fk_message_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT fk_message_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT fk_message_platform_id_event_id
        FOREIGN KEY (platform_id, event_id) REFERENCES service.event (platform_id, id),
    CONSTRAINT ck_message_category CHECK (category IN ('steps', 'news')),
    CONSTRAINT ck_message_channel CHECK (channel IN ('email', 'sms', 'mailbox')),
    CONSTRAINT ck_message_state CHECK (state IN
        ('waiting', 'held', 'sending', 'sent', 'failed', 'bounced', 'suppressed')),
    CONSTRAINT ck_message_due_at
        CHECK ((state IN ('waiting', 'held', 'sending')) = (due_at IS NOT NULL)),
    CONSTRAINT ck_message_sent_at CHECK (state <> 'sent' OR sent_at IS NOT NULL),
    CONSTRAINT ck_message_reason
        CHECK (state NOT IN ('failed', 'bounced', 'suppressed') OR reason IS NOT NULL)
);
CREATE INDEX ix_message_due_at ON service.message (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_message_platform_id_member_id ON service.message (platform_id, member_id, id);
CREATE INDEX ix_message_platform_id_exchange_id ON service.message (platform_id, exchange_id, id);
-- A bounce names the message alone.
CREATE UNIQUE INDEX ix_message_id ON service.message (id);
CALL service.make_tenant_table('service.message', 'SELECT, INSERT, UPDATE');

-- What was written to whom, as first composed. Where it went to a real person, the one-tap link is
-- left out: its token is kept nowhere but in their message.
CREATE TABLE service.message_text (
    platform_id uuid NOT NULL,
    message_id  uuid NOT NULL,
    member_id   uuid NOT NULL,
    recipient   text,
    subject     text NOT NULL,
    plain       text NOT NULL,
    html        text NOT NULL,
    CONSTRAINT pk_message_text PRIMARY KEY (platform_id, message_id),
    CONSTRAINT fk_message_text_platform_id_message_id
        FOREIGN KEY (platform_id, message_id) REFERENCES service.message (platform_id, id)
);
CREATE INDEX ix_message_text_platform_id_member_id
    ON service.message_text (platform_id, member_id);
CALL service.make_tenant_table('service.message_text', 'SELECT, INSERT, UPDATE, DELETE');

-- By which channel a member is told what they must do, and what happened. Without a row: by e-mail.
-- What they must do cannot be switched off.
CREATE TABLE service.message_preference (
    platform_id uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    steps       text        NOT NULL,
    news        text        NOT NULL,
    changed_at  timestamptz NOT NULL,
    CONSTRAINT pk_message_preference PRIMARY KEY (platform_id, member_id),
    CONSTRAINT fk_message_preference_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_message_preference_steps CHECK (steps IN ('email', 'sms')),
    CONSTRAINT ck_message_preference_news CHECK (news IN ('email', 'sms', 'none'))
);
CALL service.make_tenant_table('service.message_preference', 'SELECT, INSERT, UPDATE, DELETE');

-- An address that does not take messages. Another address of the same member is not held to it.
CREATE TABLE service.bounce (
    platform_id uuid        NOT NULL,
    member_id   uuid        NOT NULL,
    channel     text        NOT NULL,
    address     bytea       NOT NULL,
    reason      text        NOT NULL,
    bounced_at  timestamptz NOT NULL,
    CONSTRAINT pk_bounce PRIMARY KEY (platform_id, member_id, channel),
    CONSTRAINT fk_bounce_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT ck_bounce_address CHECK (length(address) = 32)
);
CALL service.make_tenant_table('service.bounce', 'SELECT, INSERT, UPDATE, DELETE');

-- A one-tap link: whoever holds its token acts as the member, on one exchange, until it expires.
-- Only the hash is kept; 256 random bits need no salt.
CREATE TABLE service.link (
    platform_id  uuid        NOT NULL,
    id           uuid        NOT NULL,
    member_id    uuid        NOT NULL,
    exchange_id  uuid        NOT NULL,
    purpose      text        NOT NULL,
    hash         bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    CONSTRAINT pk_link PRIMARY KEY (platform_id, id),
    CONSTRAINT fk_link_platform_id_member_id
        FOREIGN KEY (platform_id, member_id) REFERENCES service.member (platform_id, id),
    CONSTRAINT fk_link_platform_id_exchange_id
        FOREIGN KEY (platform_id, exchange_id) REFERENCES service.exchange (platform_id, id),
    CONSTRAINT ck_link_hash CHECK (length(hash) = 32),
    CONSTRAINT ck_link_expires_at CHECK (expires_at > created_at)
);
-- Looked up before the platform is known, hence the one key that does not lead with it.
CREATE UNIQUE INDEX ix_link_hash ON service.link (hash);
CREATE INDEX ix_link_platform_id_member_id ON service.link (platform_id, member_id, id);
CALL service.make_tenant_table('service.link', 'SELECT, INSERT, UPDATE');
