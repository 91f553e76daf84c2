"""One connection and how there is always one: dialing, login, heartbeat, reconnecting."""
