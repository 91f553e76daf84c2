"""The outcomes as a page by itself: when clients come near the best interval, and what each way costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.report.page import STYLE
from benchmarks.report.plots import Axis, Series, bars, lines
from program.heartbeats.simulate import PhoneLife, RivalCost

STEPS = 24


def picture(outcomes: Sequence[RivalCost], tallies: Mapping[str, Sequence[PhoneLife]], what: str) -> str:
    """HTML with its drawings in it."""
    names = [outcome.name for outcome in outcomes]

    def cost(title: str, values: list[float]) -> str:
        drawn = bars(names, [(title, values)], Axis(title))
        return f"<figure><figcaption>{title}</figcaption>{drawn}</figure>"

    figures = [
        cost("radio wake-ups a day", [outcome.wakeups for outcome in outcomes]),
        cost("KiB a day", [outcome.kib for outcome in outcomes]),
        cost("seconds a day dead without knowing it", [outcome.offline_s for outcome in outcomes]),
        cost("deaths by silence a day", [outcome.deaths for outcome in outcomes]),
    ]
    curves = lines(
        _reached(tallies), Axis("hours since the first login"), Axis("share near the best interval")
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Heartbeat intervals</title>
<style>{STYLE}</style>
<h1>Heartbeat intervals: {what}</h1>
<figure><figcaption>Devices that beat at 3/4 or more of what their network bears</figcaption>{curves}</figure>
<div class="plots">{"".join(figures)}</div>
</html>
"""


def _reached(tallies: Mapping[str, Sequence[PhoneLife]]) -> list[Series]:
    """Over the hours up to the last one in which somebody came near the best."""
    hours = {
        name: sorted(tally.reached_at / 3600 for tally in of_one if tally.reached_at is not None)
        for name, of_one in tallies.items()
    }
    last = max([reached[int(0.98 * len(reached))] for reached in hours.values() if reached], default=1.0)
    ends = [last * step / STEPS for step in range(STEPS + 1)]
    return [
        Series(name, [(end, sum(hour <= end for hour in reached) / len(tallies[name])) for end in ends])
        for name, reached in hours.items()
        if reached
    ]
