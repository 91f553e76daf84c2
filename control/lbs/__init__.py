"""Which gateways a client should try, in which order."""
