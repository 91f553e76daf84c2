"""One file per scenario: each starts the servers it needs, drives the fleet, and returns figures."""
