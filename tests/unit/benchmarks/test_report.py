"""The report is one page without any outside asset, whatever figures it is given."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.report.page import page, read_figures, write_page
from benchmarks.report.plots import Axis, Series, bars, lines, short
from tests.support.bench_figures import made_figure, measured


class Links(HTMLParser):
    """Collects everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        self.found += [tag] if tag in ("script", "link", "img", "iframe") else []


def everything() -> list[dict[str, object]]:
    idle = {"memory_bytes": 10**8, "generator_rss_bytes": 10**7}
    return [
        made_figure("fanout", members=100, passed=True),
        made_figure("sweep", members=100, passed=True, load=measured(rate=3e6)),
        {**made_figure("sweep", members=100, passed=True, load=measured(rate=1e6)), "size": 1000},
        made_figure("idle", **idle),
        {**made_figure("compare"), "peers": {"nats": made_figure("fanout of nats")}, "ratios": {"nats": 2.0}},
    ]


def test_the_page_fetches_nothing_and_shows_every_command() -> None:
    text = page(everything())
    links = Links()
    links.feed(text)
    assert links.found == []
    assert "url(" not in text
    assert text.count("<svg") == 5
    assert text.count("qianwan bench") >= 4


def test_a_command_with_markup_stays_text() -> None:
    item = {**made_figure(), "command": "qianwan bench <script>alert(1)</script>"}
    assert "<script" not in page([item])


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.json").write_text(json.dumps(made_figure()))
    figures = read_figures([tmp_path, tmp_path / "0.json"])
    write_page(tmp_path / "report.html", figures)
    assert len(figures) == 4
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_file_that_is_no_figure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"scenario": "fanout"}')
    with pytest.raises(ValueError, match="no figure"):
        read_figures([tmp_path])


def test_plots_are_well_formed_for_any_values() -> None:
    for points in ([], [(0.0, 0.0)], [(1e-9, 1e12), (5.0, -3.0)]):
        for log in (False, True):
            drawn = lines([Series("a & b", points)], Axis("x", log=log), Axis("y", log=log))
            ET.fromstring(f"<div>{drawn}</div>")
    ET.fromstring(f"<div>{bars(['g<'], [('s', [0.0])], Axis('y', log=True))}</div>")


def test_numbers_are_shortened() -> None:
    assert [short(v) for v in (0.2, 950, 12_000, 3_500_000)] == ["0.2", "950", "12 k", "3.5 M"]
