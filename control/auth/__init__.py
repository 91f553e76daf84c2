"""Who may do what: API keys for app servers, signed tokens for clients, and the check at login."""
