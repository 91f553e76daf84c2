"""The ways from the message service to the connections: into the core of this process, or over the bus."""
