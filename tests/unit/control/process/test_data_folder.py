"""A data folder belongs to one server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from control.errors import StartError
from control.process.data_folder import DataFolder


@pytest.mark.parametrize("alone", [(True, True), (True, False), (False, True)])
async def test_a_taken_data_folder_is_refused_with_one_line(tmp_path: Path, alone: tuple[bool, bool]) -> None:
    first, second = (DataFolder(tmp_path, dict, alone=each) for each in alone)
    await first.start()
    with pytest.raises(StartError, match=rf"is used by another server \(process {os.getpid()}\): [^\n]*$"):
        await second.start()
    await second.stop(0)
    await first.stop(0)
    again = DataFolder(tmp_path, dict, alone=True)
    await again.start()
    await again.stop(0)


async def test_the_processes_of_a_cluster_may_share_a_folder_for_its_keys(tmp_path: Path) -> None:
    both = [DataFolder(tmp_path, dict, alone=False) for _ in range(2)]
    for one in both:
        await one.start()
    for one in both:
        await one.stop(0)
