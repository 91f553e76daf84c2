"""A cluster folder that was moved goes on with its own data."""

from __future__ import annotations

import tomllib
from pathlib import Path

from program.cluster.local import SETTINGS, _follow, settings_text
from program.cluster.plan import make_plan


def test_the_settings_of_a_folder_that_was_moved_name_its_data(tmp_path: Path) -> None:
    before, after, said = tmp_path / "a", tmp_path / "b", list[str]()
    for name in ("data", "log"):
        (before / name).mkdir(parents=True)
    (before / SETTINGS).write_text(settings_text(before, make_plan(20_000)) + "# edited\n")
    _follow(before, said.append)
    assert said == []
    before.rename(after)
    _follow(after, said.append)
    text = (after / SETTINGS).read_text()
    assert tomllib.loads(text)["server"]["data_dir"] == str(after / "data")
    assert text.endswith("# edited\n")
    assert str(before) in said[0]
    _follow(after, said.append)
    assert len(said) == 1
