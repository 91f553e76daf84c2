-- Numbers of broadcasts are cursors of clients: they are given in the order of commits, whichever process gives
-- them, and go on far above what was given before (a store that was moved here may have started again).
INSERT INTO meta SELECT 'last_broadcast', greatest(
    coalesce((SELECT max(id) FROM broadcast), 0),
    (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM broadcast_id_seq)
);
UPDATE meta SET value = value + 1000000000 WHERE key = 'last_broadcast' AND (
    value > 0 OR EXISTS (SELECT 1 FROM account) OR EXISTS (SELECT 1 FROM incarnation)
    OR EXISTS (SELECT 1 FROM idempotency)
);
ALTER TABLE broadcast ALTER COLUMN id DROP IDENTITY;
