DROP TABLE reconciliations;
ALTER TABLE orders DROP COLUMN cancelled_at;
ALTER TABLE checkout_sessions DROP COLUMN ended_at;
DROP INDEX orders_created;
DROP INDEX checkout_sessions_overdue;
DROP INDEX checkout_sessions_payment_intent;
DROP INDEX refunds_duplicate;
