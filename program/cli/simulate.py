"""`qianwan policy simulate`: what a policy, and other ways to choose heartbeat intervals, cost on given
networks."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from program.cli.common import console, fail

if TYPE_CHECKING:
    from qianwan.connection.policy import Policy

    from program.heartbeats.simulate import RivalCost

COLUMNS = {
    "": "name", "reach 3/4 of best": "reached", "after p50": "hours_p50", "p90": "hours_p90",
    "interval s": "interval_s", "of best": "of_best", "deaths": "deaths", "beats": "beats",
    "wake-ups": "wakeups", "KiB": "kib", "noticed s p50": "noticed_s_p50", "s p90": "noticed_s_p90",
    "dead s": "offline_s",
}  # fmt: skip
FLOOR_S, CEILING_S = 60.0, 1800.0
"""Of the search, where no policy is given: wide, so that it shows what the networks bear."""


def simulate(
    networks: Annotated[
        Path | None,
        typer.Argument(help="TOML profile, or JSON as `qianwan policy curve --json` prints; default: a mix"),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Constants of the policy: TOML or JSON, as `qianwan policy show` has")
    ] = None,
    devices: Annotated[int | None, typer.Option(help="Devices", min=1, max=100_000)] = None,
    days: Annotated[float | None, typer.Option(help="Days of virtual time", min=0.01, max=365)] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a page with plots (HTML with SVG)")] = None,
) -> None:
    """Play idle devices behind NATs with fixed intervals, Mars, a binary search and the clients' own search.

    Rows are per device and day: deaths by silence, beats, radio wake-ups, traffic, seconds until a dead
    connection is noticed, and seconds dead without knowing it.
    """
    import msgspec

    from program.heartbeats.profile import MIXED, BadProfile, devices_of, read_profile
    from program.heartbeats.simulate import rivals_for, run

    try:
        profile = read_profile(networks) if networks is not None else MIXED
        chosen = _policy(policy)
    except (OSError, BadProfile, ValueError) as error:
        raise fail(str(error), code=2) from error
    changes = {"devices": devices or profile.devices, "days": days or profile.days}
    profile = msgspec.structs.replace(profile, **changes)
    made = devices_of(profile, seed)
    outcomes, tallies = run(profile, made, rivals_for(chosen), chosen.ceiling_s, seed)
    if plot is not None:
        from program.heartbeats.picture import picture

        what = f"{profile.devices} devices, {profile.days:g} days, seed {seed}"
        plot.write_text(picture(outcomes, tallies, what))
    if as_json:
        found = {"seed": seed, "profile": profile, "outcomes": outcomes}
        typer.echo(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        _table(outcomes, f"{profile.devices} devices, {profile.days:g} days, per device and day")


def _policy(path: Path | None) -> Policy:
    """What clients would take from it. Raises OSError or ValueError."""
    from qianwan.connection.policy import Policy

    base = Policy(adaptive=True, floor_s=FLOOR_S, ceiling_s=CEILING_S, ping_interval_s=FLOOR_S)
    if path is None:
        return base
    text = path.read_text()
    found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: a policy is a map")
    constants = found.get("constants", found)
    if not isinstance(constants, dict):
        raise ValueError(f"{path}: `constants` is a map")
    return base.told(constants)


def _table(outcomes: list[RivalCost], title: str) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in COLUMNS:
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for outcome in outcomes:
        table.add_row(*(_cell(member, getattr(outcome, member)) for member in COLUMNS.values()))
    console().print(table)


def _cell(member: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    if member in ("reached", "of_best"):
        return f"{value:.0%}"
    if member in ("hours_p50", "hours_p90"):
        return f"{value:.1f} h" if value >= 1.5 else f"{60 * value:.0f} min"
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
