"""Durable state of the IM service: Protocols in `base`, records in `records`, engines beside them."""
