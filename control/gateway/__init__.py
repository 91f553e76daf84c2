"""The Python side of a gateway: its events, logins, and both directions between it and the service."""
