"""What this service asks of servers that others run: bounded, signed, and never where it must not reach."""
