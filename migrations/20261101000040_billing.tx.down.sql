DROP TABLE reconciliations;
DROP INDEX orders_created;
DROP INDEX checkout_sessions_overdue;
DROP INDEX checkout_sessions_payment_intent;
DROP INDEX refunds_duplicate;
