"""The im role of a process: the message service, its gateways, and how both are reached."""
