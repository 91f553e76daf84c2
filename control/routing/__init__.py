"""Where a topic has members: topic -> gateways, with epochs."""
