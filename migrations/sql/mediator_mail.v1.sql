-- That a case came to a neutral is told to them by mail: one row for each time somebody was drawn.
-- Nothing of the case stands here, nor in the mail.
CREATE TABLE service.mediator_mail (
    platform_id   uuid        NOT NULL,
    assignment_id uuid        NOT NULL,
    state         text        NOT NULL DEFAULT 'waiting',
    reason        text,
    -- When it is to be tried, or, while it is being sent, when whoever took it has died.
    due_at        timestamptz,
    attempts      integer     NOT NULL DEFAULT 0,
    sent_at       timestamptz,
    CONSTRAINT pk_mediator_mail PRIMARY KEY (platform_id, assignment_id),
    CONSTRAINT fk_mediator_mail_platform_id_assignment_id
        FOREIGN KEY (platform_id, assignment_id) REFERENCES disputes.assignment (platform_id, id),
    CONSTRAINT ck_mediator_mail_state CHECK (state IN ('waiting', 'sent', 'failed', 'suppressed')),
    CONSTRAINT ck_mediator_mail_due_at CHECK ((state = 'waiting') = (due_at IS NOT NULL)),
    CONSTRAINT ck_mediator_mail_sent_at CHECK ((state = 'sent') = (sent_at IS NOT NULL)),
    CONSTRAINT ck_mediator_mail_reason
        CHECK (state NOT IN ('failed', 'suppressed') OR reason IS NOT NULL)
);
CREATE INDEX ix_mediator_mail_due_at ON service.mediator_mail (due_at) WHERE due_at IS NOT NULL;
CALL service.make_tenant_table('service.mediator_mail', 'SELECT, INSERT, UPDATE');
