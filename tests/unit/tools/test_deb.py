"""The Debian package without the program (`make deb` takes minutes): what dpkg is told, what lies where."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.deployment import DEPLOY
from tools import deb


def told(*words: str) -> str:
    return subprocess.run(["dpkg-deb", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def test_dpkg_reads_the_package(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o755)
    deb.lay_out(tree)
    deb.describe(tree, "0.1.0")
    package = deb.pack(tree, tmp_path / "out")
    assert told("--field", str(package), "Package", "Version").split() == [
        "Package:", "qianwan", "Version:", "0.1.0",
    ]  # fmt: skip
    assert "python3 (>= 3." in told("--field", str(package), "Depends")
    told("--extract", str(package), str(tmp_path / "there"))
    told("--control", str(package), str(tmp_path / "control"))
    for name in (tmp_path / "control" / "conffiles").read_text().split():
        assert (tmp_path / "there" / name.lstrip("/")).is_file(), name
    for unit in (DEPLOY / "systemd").glob("*.service"):
        installed = tmp_path / "there" / "lib" / "systemd" / "system" / unit.name
        assert f"ExecStart={deb.HOME}/bin/qianwan serve " in installed.read_text()
    for script in ("postinst", "prerm"):
        subprocess.run(["sh", "-n", str(tmp_path / "control" / script)], check=True, timeout=60)
    owners = {line.split()[1] for line in told("--contents", str(package)).splitlines()}
    assert owners == {"root/root"}
