"""The wiring of one process: the gateway's events to the message service, and its answers back to the
gateway.
"""
