"""What a machine cannot test is said at the end of the run, never passed over in silence."""

from __future__ import annotations

import warnings


class UntestedHere(UserWarning):
    """A promise that this machine could not try."""


def untested_here(reason: str | None) -> bool:
    """`if untested_here(why_not): return`. None and "" are no reasons: the test goes on."""
    if reason:
        warnings.warn(f"not tested on this machine: {reason}", UntestedHere, stacklevel=2)
    return bool(reason)
