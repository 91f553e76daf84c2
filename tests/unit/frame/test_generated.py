"""One source of truth: what protocol.toml says is what every language gets, and a stale copy is named."""

from __future__ import annotations

import re
import shutil
import tomllib
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

import frame
from frame import constants
from tests.support.tree import ROOT
from tools import generate
from tools.parts import protocol

SPEC: dict[str, dict[str, dict[str, Any]]] = tomllib.loads((ROOT / protocol.SOURCE).read_text())


def run(arguments: list[str]) -> int:
    return generate.main(["protocol", *arguments])


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree that holds the specification and every generated file."""
    (tmp_path / "frame/spec").mkdir(parents=True)
    shutil.copy(ROOT / protocol.SOURCE, tmp_path / protocol.SOURCE)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / protocol.DOCS, tmp_path / protocol.DOCS)
    assert run(["--root", str(tmp_path)]) == 0
    return tmp_path


def test_generating_twice_changes_nothing(copy: Path) -> None:
    assert run(["--check", "--root", str(copy)]) == 0


@pytest.mark.parametrize("name", protocol.OUTPUTS)
def test_a_stale_file_is_named_and_left_alone(
    copy: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / name
    path.write_text(path.read_text() + "edited\n")
    assert run(["--check", "--root", str(copy)]) == 1
    assert capsys.readouterr().out.endswith(f"stale: {name}\n")
    assert path.read_text().endswith("edited\n")
    assert run(["--root", str(copy)]) == 0
    assert not path.read_text().endswith("edited\n")


def test_marked_tables_of_the_docs_are_rewritten(copy: Path) -> None:
    page = copy / protocol.DOCS
    fresh = page.read_text()
    page.write_text(fresh.replace("| `KICKED` |", "| `OLD` |"))
    assert run(["--check", "--root", str(copy)]) == 1
    assert run(["--root", str(copy)]) == 0
    assert page.read_text() == fresh
    for name in SPEC["close_codes"]:
        assert f"| `{name}` |" in fresh


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("PONG = { id = 2,", "PONG = { id = 1,", r"\[frames\] uses 1 twice"),
        ("KICKED = { id = 4004,", "KICKED = { id = 5004,", "KICKED is in no range"),
        ("UNSUPPORTED = { id = 4008,", "UNSUPPORTED = { id = 4007,", r"\[close_codes\] uses 4007 twice"),
    ],
)
def test_a_contradicting_specification_is_refused(copy: Path, old: str, new: str, message: str) -> None:
    spec = copy / protocol.SOURCE
    assert old in spec.read_text()
    spec.write_text(spec.read_text().replace(old, new))
    with pytest.raises(SystemExit, match=message):
        run(["--check", "--root", str(copy)])


def test_python_carries_every_number() -> None:
    for group in protocol.GROUPS:
        enum = getattr(constants, group.python)
        assert {m.name: m.value for m in enum} == {k: v["id"] for k, v in SPEC[group.table].items()}
    for name, row in (SPEC["limits"] | SPEC["text"]).items():
        assert getattr(constants, name) == row["value"]


def test_cython_c_and_javascript_carry_every_number() -> None:
    named = {name: value for _, rows in protocol.flat(SPEC) for name, value, _ in rows}
    assert len(named) > 100
    pxd = re.findall(r"^    (\w+) = (\w+)", (ROOT / "frame/constants.pxd").read_text(), re.M)
    assert {k: int(v, 0) for k, v in pxd} == named
    header = re.findall(r"^    QW_(\w+) = (\w+),", (ROOT / "frame/includes/constants.h").read_text(), re.M)
    assert {k: int(v, 0) for k, v in header} == named
    web = (ROOT / "sdk/web/constants.js").read_text()
    for group in protocol.GROUPS:
        body = web.split(f"export const {group.python} = Object.freeze({{", 1)[1].split("});", 1)[0]
        members = {k: int(v) for k, v in re.findall(r"^  (\w+): (\d+),", body, re.M)}
        assert members == {k: v["id"] for k, v in SPEC[group.table].items()}


def test_every_close_code_says_what_to_do() -> None:
    for code in constants.CloseCode:
        assert isinstance(code, IntEnum)
        assert sum(first <= code <= last for first, last, _ in constants.CLOSE_RANGES) == 1


def test_limits_fit_together() -> None:
    assert max(constants.TAG_BYTES.values()) + constants.RECORD_MAX_PLAINTEXT == 65535
    assert constants.MAX_BODY + 21 <= constants.RECORD_MAX_PLAINTEXT
    assert constants.HANDSHAKE_MIN + constants.HANDSHAKE_PAYLOAD_MAX == constants.HANDSHAKE_MAX


def test_modules_built_from_other_constants_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "CONSTANTS_MARK", constants.CONSTANTS_MARK ^ 1)
    with pytest.raises(ImportError, match=r"frame\.constants"):
        frame._same_constants()
