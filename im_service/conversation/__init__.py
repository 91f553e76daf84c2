"""What happens to a conversation after it was written: reading, watermarks, recall, receipts, settings."""
