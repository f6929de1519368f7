-- How often in a row a look failed for no reason of the outside's, as for timers and payments: after
-- a few times it is left alone (its due date goes to the year 9999) and stands as a dead letter.
ALTER TABLE service.payee_account ADD COLUMN failures smallint NOT NULL DEFAULT 0;
ALTER TABLE service.bank_payout ADD COLUMN failures smallint NOT NULL DEFAULT 0;
ALTER TABLE service.chargeback ADD COLUMN failures smallint NOT NULL DEFAULT 0;
-- The same of the answer to the bank.
ALTER TABLE service.chargeback ADD COLUMN answer_failures smallint NOT NULL DEFAULT 0;
