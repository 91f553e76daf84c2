"""The HTTP API for app servers: routers translate, the services hold the rules."""
