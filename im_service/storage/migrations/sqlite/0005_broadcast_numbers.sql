-- Numbers of broadcasts are cursors of clients, so none is given again when the one with the highest has ended.
-- In a store that was in use nobody knows the highest that was given: it goes on far above. A new store: at 1.
INSERT INTO meta SELECT 'last_broadcast', coalesce(max(id), 0) FROM broadcast;
UPDATE meta SET value = value + 1000000000 WHERE key = 'last_broadcast' AND (
    value > 0 OR EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM incarnation)
    OR EXISTS (SELECT 1 FROM idempotency)
);
