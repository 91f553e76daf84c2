"""A run that the machine cannot hold is refused before it starts, with every limit named."""

from __future__ import annotations

import pytest

from benchmarks.loadgen.fleet import FleetError
from benchmarks.scenarios.needs import require, shortages


def test_what_fits_is_not_refused() -> None:
    assert shortages(1000) == []
    require(1000)


def test_every_limit_in_the_way_is_named_with_what_it_has_to_be() -> None:
    found = "\n".join(shortages(10**12))
    for name in ("fs.file-max", "fs.epoll.max_user_watches", "available memory"):
        assert f"  {name} is " in found
    assert f"fs.epoll.max_user_watches={2 * 10**12}" in found
    with pytest.raises(FleetError, match="do not fit here"):
        require(10**12)
