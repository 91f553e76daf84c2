"""Beside the send: who is told through a push vendor, and what they are told."""
