"""The report is one page without any outside asset, whatever figures it is given."""

from __future__ import annotations

import itertools
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.report.page import STYLE, page, read_figures, write_page
from benchmarks.report.plots import Axis, Series, bars, lines, short
from tests.support.bench_figures import made_figure, measured
from tests.support.tree import ROOT


class Links(HTMLParser):
    """Collects everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        self.found += [tag] if tag in ("script", "link", "img", "iframe") else []


def weak_row(system: str, first: float) -> dict[str, object]:
    times = {"first_ms": {"p50": first, "max": first}}
    return {"profile": "P3", "network": "edge", "round_trip_ms": 840, "system": system, **times}


def everything() -> list[dict[str, object]]:
    idle = {"memory_bytes": 10**8, "generator_rss_bytes": 10**7}
    return [
        made_figure("fanout", members=100, passed=True),
        made_figure("sweep", members=100, passed=True, load=measured(rate=3e6)),
        {**made_figure("sweep", members=100, passed=True, load=measured(rate=1e6)), "size": 1000},
        made_figure("idle", **idle),
        {**made_figure("weaknet"), "rows": [weak_row("ours", 900.0), weak_row("theirs", 1900.0)]},
        {**made_figure("compare"), "peers": {"nats": made_figure("fanout of nats")}, "ratios": {"nats": 2.0}},
    ]


def test_the_page_fetches_nothing_and_shows_every_command() -> None:
    text = page(everything())
    links = Links()
    links.feed(text)
    assert links.found == []
    assert "url(" not in text
    assert text.count("<svg") == 6
    assert "First message after a drop" in text
    assert text.count("qianwan bench") >= 4


def test_a_command_with_markup_stays_text() -> None:
    item = {**made_figure(), "command": "qianwan bench <script>alert(1)</script>"}
    assert "<script" not in page([item])


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.json").write_text(json.dumps(made_figure()))
    (tmp_path / "other.json").write_text('{"of": "something else"}')
    figures, others = read_figures([tmp_path, tmp_path / "0.json"])
    assert others == [tmp_path / "other.json"], "named, and no reason to fail"
    write_page(tmp_path / "report.html", figures)
    assert len(figures) == 4
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_a_file_that_is_no_figure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"scenario": "fanout"}')
    with pytest.raises(ValueError, match="no figure"):
        read_figures([tmp_path / "x.json"])


def test_the_recorded_figures_make_a_page(tmp_path: Path) -> None:
    figures, others = read_figures([ROOT / "benchmarks" / "results"])
    assert len(figures) >= 15
    assert {path.name for path in others} == {
        "alternation.json",
        "faults-copy.json",
        "faults.json",
        "idle-before-after.json",
        "instructions.json",
        "resume-in-turn.json",
        "room-batches.json",
        "routes.json",
        "scale.json",
        "send-before-after.json",
    }
    assert page(figures).count("<svg") >= 4


def test_names_and_bars_do_not_run_into_each_other() -> None:
    groups = [f"a long name of the figure with number {n}, of which there are many" for n in range(30)]
    drawing = bars(groups, [("p50", [1.0] * 30), ("p99", [0.0, *[2.0] * 29])], Axis("ms", log=True))
    tree = ET.fromstring(f"<div>{drawing}</div>")
    names = [float(node.attrib["y"]) for node in tree.iter("text") if (node.text or "").startswith("a long")]
    tops = [float(node.attrib["y"]) for node in tree.iter("rect")]
    taken = sorted([*((y - 12, y) for y in names), *((y, y + 9) for y in tops)])
    assert len(names) == 30
    assert len(tops) == 59, "no bar without a value"
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(taken))
    height = float(next(tree.iter("svg")).attrib["viewBox"].split()[3])
    assert max(tops) < height - 48


def test_every_rule_of_the_style_is_one() -> None:
    for rule in STYLE.replace("\n", " ").split("}"):
        for declaration in rule.rpartition("{")[2].split(";"):
            name, colon, _ = declaration.strip().partition(":")
            assert not name or (colon and re.fullmatch(r"(--)?[a-z]+(-[a-z]+)*", name)), declaration


def test_plots_are_well_formed_for_any_values() -> None:
    for points in ([], [(0.0, 0.0)], [(1e-9, 1e12), (5.0, -3.0)]):
        for log in (False, True):
            drawn = lines([Series("a & b", points)], Axis("x", log=log), Axis("y", log=log))
            ET.fromstring(f"<div>{drawn}</div>")
    ET.fromstring(f"<div>{bars(['g<'], [('s', [0.0])], Axis('y', log=True))}</div>")


def test_numbers_are_shortened() -> None:
    assert [short(v) for v in (0.2, 950, 12_000, 3_500_000)] == ["0.2", "950", "12 k", "3.5 M"]
