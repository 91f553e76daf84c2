"""What stops a process before it starts."""

from __future__ import annotations


class StartError(Exception):
    """The process could not start; the text is for the operator."""
