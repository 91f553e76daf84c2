"""Beside the send: the copy of events for other systems."""
