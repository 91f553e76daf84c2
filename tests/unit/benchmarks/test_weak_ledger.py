"""What a run counts: each message once, what is missing, and how long it took from when it was due."""

from __future__ import annotations

import pytest

from benchmarks.weaknet.ledger import Ledger, percentiles
from benchmarks.weaknet.run import COUNTED, median_row
from benchmarks.weaknet.system import Watch, body, name_in


def test_latency_runs_from_the_intended_time_and_twice_is_doubled() -> None:
    ledger = Ledger(clock=lambda: 100.0)
    for n, due in enumerate((99.0, 99.5, 99.75)):
        ledger.sent(f"m{n}", due, 64)
    for name in ("m0", "m1", "m0", "nobody's"):
        ledger.arrived(name)
    assert ledger.latency() == [1.0, 0.5]
    assert (ledger.doubled, ledger.foreign, ledger.missing()) == (1, 1, ["m2"])
    assert ledger.bytes_sent == 192
    ledger.probes.add("m2")
    assert not ledger.missing()


def test_percentiles_are_of_what_was_seen() -> None:
    assert percentiles([n / 1000 for n in range(1, 101)]) == {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    assert percentiles([0.25]) == {"p50": 250, "p90": 250, "p99": 250, "max": 250}
    assert set(percentiles([]).values()) == {0}


def test_a_text_has_its_size_and_carries_its_name() -> None:
    assert len(body("phone1-7", 64)) == 64
    assert name_in(body("phone1-7", 64)) == "phone1-7"


def test_a_watch_counts_logins_and_ends_until_it_is_over() -> None:
    told: list[bool] = []
    watch = Watch(lambda _: None)
    watch.changed.append(told.append)
    for online in (True, True, False, True):
        watch.state(online)
    watch.over = True
    watch.state(False)
    assert (watch.logins, watch.deaths, told) == (2, 1, [True, False, True])


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_the_median_run_stands_for_all_but_hides_no_loss(bad: int) -> None:
    rows = [
        {
            "first_ms": {"p50": first}, "latency_ms": {"p50": 1.0}, **dict.fromkeys(COUNTED, 7),
            "lost": int(n == bad), "passed": n != bad,
        }
        for n, first in enumerate((300.0, 100.0, 200.0))
    ]  # fmt: skip
    middle = median_row(rows)
    assert middle["first_ms"]["p50"] == 200.0
    assert middle["runs"] == [300.0, 100.0, 200.0]
    assert (middle["lost"], middle["sent"], middle["passed"]) == (1, 21, False)
