"""Which processes are alive: the Protocol, and a table fed by beacons over the bus."""
