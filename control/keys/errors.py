"""What can be wrong with keys. Each text is for the operator."""

from __future__ import annotations


class KeyFileError(Exception):
    """A key file or its folder is missing, malformed, or open to others."""


class NotYours(KeyFileError):
    """The file or folder belongs to another user, whose keys are not at fault."""


class ApiKeyError(Exception):
    """The operator asked for something that cannot be: an unknown key, an unknown scope."""
