-- Authorisations beside collections, reversals beside refunds, and payments that wait for another.
ALTER TABLE service.payment
    DROP CONSTRAINT ck_payment_kind,
    DROP CONSTRAINT ck_payment_state,
    DROP CONSTRAINT ck_payment_refund_of,
    DROP CONSTRAINT ck_payment_refund_asked,
    DROP CONSTRAINT ck_payment_look_again,
    ADD COLUMN capture        text    NOT NULL DEFAULT 'automatic',
    ADD COLUMN hosted         boolean NOT NULL DEFAULT false,
    ADD COLUMN return_url     text,
    ADD COLUMN save_method    boolean NOT NULL DEFAULT false,
    ADD COLUMN off_session    boolean NOT NULL DEFAULT false,
    -- Of an authorisation: the one that it takes over from.
    ADD COLUMN replaces       uuid,
    ADD COLUMN authorised_at  timestamptz,
    ADD COLUMN capture_before timestamptz,
    -- How much of an authorisation is to be taken, once that is decided; and how much was.
    ADD COLUMN capture_wanted bigint,
    ADD COLUMN captured       bigint,
    ADD COLUMN saved_method   text,
    -- Of a payout: the collection it is paid from. Of a reversal: the payout called back.
    ADD COLUMN source_id      uuid,
    ADD COLUMN payout_id      uuid,
    ADD COLUMN reversal_asked bigint  NOT NULL DEFAULT 0,
    -- Nothing is asked of the provider before this other payment has come as far as it must.
    ADD COLUMN after_id       uuid,
    ADD COLUMN waiting        boolean NOT NULL DEFAULT false,
    -- A refund that had succeeded came back all the same: the payer's account is closed.
    ADD COLUMN returned_at    timestamptz,
    -- The bank has taken this collection back for now: no refund of ours beside it.
    ADD COLUMN disputed_at    timestamptz;
ALTER TABLE service.payment
    ADD CONSTRAINT ck_payment_kind CHECK (kind IN ('collect', 'refund', 'payout', 'reversal')),
    ADD CONSTRAINT ck_payment_state CHECK (state IN ('submitting', 'pending', 'requires_action',
        'authorised', 'succeeded', 'failed', 'canceled')),
    ADD CONSTRAINT ck_payment_refund_of CHECK ((kind = 'refund') = (collect_id IS NOT NULL)),
    ADD CONSTRAINT ck_payment_reversal_of CHECK ((kind = 'reversal') = (payout_id IS NOT NULL)),
    -- Refunds of a collection, and reversals of a payout, never sum to more than it. What failed
    -- counts no more, and can be asked for again.
    ADD CONSTRAINT ck_payment_refund_asked CHECK (refund_asked BETWEEN 0 AND amount),
    ADD CONSTRAINT ck_payment_reversal_asked CHECK (reversal_asked BETWEEN 0 AND amount),
    ADD CONSTRAINT ck_payment_capture CHECK (
        CASE capture
            WHEN 'manual' THEN kind = 'collect'
            ELSE capture = 'automatic' AND authorised_at IS NULL AND capture_wanted IS NULL
        END),
    ADD CONSTRAINT ck_payment_returned CHECK (returned_at IS NULL
        OR (kind IN ('refund', 'payout') AND state = 'succeeded')),
    ADD CONSTRAINT ck_payment_authorised CHECK (state <> 'authorised' OR authorised_at IS NOT NULL),
    ADD CONSTRAINT ck_payment_capture_wanted CHECK (capture_wanted BETWEEN 1 AND amount),
    ADD CONSTRAINT ck_payment_captured CHECK (captured BETWEEN 1 AND amount),
    ADD CONSTRAINT ck_payment_waiting CHECK (NOT waiting OR (after_id IS NOT NULL
        AND state = 'submitting' AND provider_ref IS NULL)),
    -- What is settled or waits for another is not looked at; everything else always will be.
    ADD CONSTRAINT ck_payment_look_again CHECK ((look_again_at IS NULL)
        = (waiting OR state IN ('succeeded', 'failed', 'canceled'))),
    ADD CONSTRAINT fk_payment_platform_id_replaces
        FOREIGN KEY (platform_id, replaces) REFERENCES service.payment (platform_id, id),
    ADD CONSTRAINT fk_payment_platform_id_source_id
        FOREIGN KEY (platform_id, source_id) REFERENCES service.payment (platform_id, id),
    ADD CONSTRAINT fk_payment_platform_id_payout_id
        FOREIGN KEY (platform_id, payout_id) REFERENCES service.payment (platform_id, id),
    ADD CONSTRAINT fk_payment_platform_id_after_id
        FOREIGN KEY (platform_id, after_id) REFERENCES service.payment (platform_id, id);
CREATE INDEX ix_payment_platform_id_after_id ON service.payment (platform_id, after_id)
    WHERE waiting;

CREATE OR REPLACE FUNCTION service.keep_settled_payment() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.settled_at IS NOT NULL AND (OLD.state, OLD.settled_at, OLD.captured) IS DISTINCT FROM
       (NEW.state, NEW.settled_at, NEW.captured) THEN
        RAISE EXCEPTION 'payment % is % for good', OLD.id, OLD.state
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (OLD.kind, OLD.amount, OLD.unit, OLD.member_id, OLD.provider, OLD.exchange_id,
        OLD.collect_id, OLD.method, OLD.created_at, OLD.capture, OLD.replaces, OLD.source_id,
        OLD.payout_id, OLD.after_id) IS DISTINCT FROM
       (NEW.kind, NEW.amount, NEW.unit, NEW.member_id, NEW.provider, NEW.exchange_id,
        NEW.collect_id, NEW.method, NEW.created_at, NEW.capture, NEW.replaces, NEW.source_id,
        NEW.payout_id, NEW.after_id)
       OR (OLD.provider_ref IS NOT NULL AND OLD.provider_ref IS DISTINCT FROM NEW.provider_ref)
       OR (OLD.authorised_at IS NOT NULL AND OLD.authorised_at IS DISTINCT FROM NEW.authorised_at)
       OR (OLD.returned_at IS NOT NULL AND OLD.returned_at IS DISTINCT FROM NEW.returned_at)
       OR (OLD.capture_wanted IS NOT NULL
           AND OLD.capture_wanted IS DISTINCT FROM NEW.capture_wanted)
    THEN
        RAISE EXCEPTION 'what payment % is for cannot change', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

-- A leg remembers the payment that filled it, and how a deposit is secured.
ALTER TABLE service.leg
    ADD COLUMN collect_id uuid,
    ADD COLUMN strategy   text,
    ADD CONSTRAINT ck_leg_strategy CHECK (
        strategy IS NULL OR (strategy IN ('capture', 'authorise', 'reauthorise')
            AND role = 'deposit' AND sort = 'money')),
    ADD CONSTRAINT fk_leg_platform_id_collect_id
        FOREIGN KEY (platform_id, collect_id) REFERENCES service.payment (platform_id, id);

-- The authorisation of the deposits, and until when it lasts. What the bank contests is frozen.
ALTER TABLE service.exchange
    ADD COLUMN deposit_id    uuid,
    ADD COLUMN deposit_until timestamptz,
    -- The authorisation that has been asked for to take over, while it is not there yet.
    ADD COLUMN deposit_renewal_id uuid,
    ADD COLUMN frozen_at     timestamptz,
    -- Until when the payer's bank can still take the money back, after it was released too.
    ADD COLUMN reversible_until timestamptz,
    -- What banks took back for good from what was collected, in minor units, and not yet shared out.
    ADD COLUMN contested_id  uuid,
    ADD COLUMN charged_back  bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT ck_exchange_charged_back CHECK (charged_back >= 0);

-- Who followed an event up, on whose account it happened, and why it was refused for good.
ALTER TABLE service.provider_event
    ADD COLUMN topic      text NOT NULL DEFAULT 'payment',
    ADD COLUMN account    text,
    ADD COLUMN refused_at timestamptz,
    DROP CONSTRAINT ck_provider_event_open,
    ADD CONSTRAINT ck_provider_event_open CHECK (
        (applied_at IS NULL AND refused_at IS NULL) = (try_at IS NOT NULL)),
    ADD CONSTRAINT ck_provider_event_end CHECK (applied_at IS NULL OR refused_at IS NULL);

ALTER TABLE service.sandbox_object
    ADD COLUMN capture        text NOT NULL DEFAULT 'automatic',
    ADD COLUMN captured       bigint,
    ADD COLUMN capture_before timestamptz;
