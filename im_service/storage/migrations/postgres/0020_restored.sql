-- Until when an account is disabled once its deletion is taken back.
ALTER TABLE account_state ADD COLUMN restored_ms BIGINT NOT NULL DEFAULT 0;
