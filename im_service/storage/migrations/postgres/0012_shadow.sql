-- Until when what somebody says is for themselves alone.
ALTER TABLE account_state ADD COLUMN shadow_ms BIGINT NOT NULL DEFAULT 0;
