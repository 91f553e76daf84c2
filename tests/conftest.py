"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says something of the machine, not of the code; a failure prints how to repeat it.
settings.register_profile("qianwan", deadline=None, print_blob=True)
settings.load_profile("qianwan")
