"""What a program that is not ours runs under, when the tests themselves run under a sanitizer."""

from __future__ import annotations

import os

OURS = ("LD_PRELOAD", "ASAN_OPTIONS", "PYTHONMALLOC", "PYTHONPATH")


def environment() -> dict[str, str]:
    """This process's environment without what `make sanitize` adds (initdb hangs under libasan)."""
    return {name: value for name, value in os.environ.items() if name not in OURS}
