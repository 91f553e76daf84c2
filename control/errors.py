"""What stops a process before it starts."""

from __future__ import annotations


class SettingsProblem(ValueError):
    """A map of settings for another part names something that part does not have."""


class StartError(Exception):
    """The process could not start; the text is for the operator."""
