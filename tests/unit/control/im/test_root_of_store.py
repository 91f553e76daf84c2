"""An im process on a store whose clients pinned another root key says so."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from control.im.role import ImPart
from control.settings.build import build
from tests.support.im_downlink import RecordingDownlink


async def test_another_root_than_the_store_was_used_with_is_told(tmp_path: Path) -> None:
    settings = build({"server": {"data_dir": tmp_path}})
    told = []
    for root in ("", "first root key", "first root key", "another root key", "another root key"):
        part = ImPart(settings, RecordingDownlink(), root=partial(str, root))
        await part.start()
        told.append(part.remarks()["root_of_store"]())
        await part.stop(0.0)
    assert told[:3] == [None, None, None]
    assert told[3] is not None
    assert "pinned another root key than another root key" in told[3]
    assert told[4] is None, "whoever read it has decided: every client was given this key"
