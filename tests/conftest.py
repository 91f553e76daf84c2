"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# How long an example takes says something of the machine, not of the code; a failure prints how to repeat it.
# On CI the same code meets the same examples; developers explore.
settings.register_profile("qianwan", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("qianwan")
