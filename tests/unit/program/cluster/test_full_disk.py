"""A cluster that cannot come up for want of room says so."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from program.cluster import local
from program.cluster.plan import PLAN_FILE, ClusterError
from program.cluster.processes import telling


class Usage(NamedTuple):
    free: int


def test_a_new_cluster_is_not_begun_on_a_disk_that_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local.engines, "missing", lambda: "")
    monkeypatch.setattr(local.shutil, "disk_usage", lambda folder: Usage(20 << 20))
    with pytest.raises(ClusterError, match="has 20 MiB left"):
        local.bring_up(tmp_path / "c", print)
    assert not (tmp_path / "c" / PLAN_FILE).exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [
                '{"level":"fatal","msg":"failed to commit tx","error":"write db: no space left on device"}',
                "goroutine 1 [running]:",
                "\tgo.etcd.io/etcd/main.go:28 +0x17",
            ],
            "no space left on device",
        ),
        (
            [
                'initdb: error: could not write file "x": No space left on device',
                'initdb: removing contents of data directory "x"',
            ],
            "could not write file",
        ),
        (["a", "the last one"], "the last one"),
        ([], ""),
    ],
)
def test_of_a_log_the_line_is_told_that_says_why(lines: list[str], said: str) -> None:
    assert said in telling(lines)
