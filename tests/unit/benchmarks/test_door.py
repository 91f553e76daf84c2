"""`qianwan bench` where its modules are not there: whatever is asked, it says what to do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from program.cli import bench


@pytest.mark.parametrize("words", [[], ["--help"], ["fanout", "--help"], ["fanout", "--members", "3"]])
@pytest.mark.parametrize(
    ("missing", "advice"), [("benchmarks.loadgen.stamp", "make build"), ("websockets", "make dev")]
)
def test_what_is_missing_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, words: list[str], missing: str, advice: str
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(bench, "importlib", SimpleNamespace(import_module=absent))
    app = typer.Typer()
    app.command("other")(lambda: None)
    bench.add_bench(app)
    ran = CliRunner().invoke(app, ["bench", *words])
    assert ran.exit_code == 2
    assert missing in ran.output
    assert advice in ran.output
    assert "bench" in CliRunner().invoke(app, ["--help"]).output
