"""Heartbeat policies: what clients are told about pinging and reconnecting."""
