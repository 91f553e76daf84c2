"""Tables of the docs name exactly what the code has."""

from __future__ import annotations

import re

from control.api.errors import STATUS
from control.metrics import GATEWAY_COUNTERS, GATEWAY_LIVE
from gateway_core.leaf import stats
from tests.support.tree import ROOT


def test_every_counter_of_the_core_is_a_documented_metric() -> None:
    assert set(GATEWAY_COUNTERS) == set(stats.COUNTER_NAMES)
    assert set(GATEWAY_LIVE) == set(stats.LIVE_NAMES)


def test_the_page_has_every_code_beside_the_status_it_is_answered_with() -> None:
    page = (ROOT / "docs" / "API.md").read_text()
    table = page.split("| status | codes |", 1)[1].split("\n\n", 1)[0]
    told: dict[int, str] = {}
    for status, words in re.findall(r"^\| (\d[\d, ]*) \| (.*) \|$", table, re.MULTILINE):
        # one row for several statuses: each code has the status that is its own number
        told |= {int(code): status for code in re.findall(r"\b(?:4\d\d|50\d|80\d|7101|1300\d)\b", words)}
    for code, status in STATUS.items():
        assert str(status) in told.get(int(code), "").split(", "), f"{int(code)} is answered with {status}"


def test_operations_names_every_command() -> None:
    page = (ROOT / "docs" / "OPERATIONS.md").read_text()
    for command in [
        "serve",
        "token",
        "config",
        "doctor",
        "keys",
        "api-key",
        "store",
        "top",
        "chat",
        "demo",
        "bench",
    ]:
        assert re.search(rf"`{command}\b", page), command
