"""`qianwan policy`: heartbeat policies, from the curve to the roll-out."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from program.cli.admin.client import Admin, Json, JsonOption, asks_admin, segment, show, show_gone, show_one
from program.cli.common import fail
from program.cli.simulate import simulate

if TYPE_CHECKING:
    from control.policy.model import Policy

app = typer.Typer(help="Heartbeat policies of clients.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Name of the policy")]
ShareOption = Annotated[
    float, typer.Option("--share", min=0.01, max=100, help="Percent of the devices: 1, 10, 50, 100")
]
NetOption = Annotated[str, typer.Option("--net", help="wifi, 2g, 3g, 4g, 5g, ethernet, other; default: all")]
CarrierOption = Annotated[str, typer.Option("--carrier", help="As clients report it; default: all")]


@app.command("list")
@asks_admin
def list_policies(
    admin: Admin,
    as_json: JsonOption = False,
) -> None:
    """Policies in the order in which they are tried."""
    found = admin.get("/policies")
    columns = {"policy": "name", "version": "version", "rank": "rank", "for": "match", "canary": "canary"}
    show(found, as_json, "Heartbeat policies", columns, "policies")


@app.command("show")
@asks_admin
def show_policy(
    admin: Admin,
    name: NameArgument,
    version: Annotated[int, typer.Option("--version", min=0, help="One that was published")] = 0,
    as_json: JsonOption = False,
) -> None:
    """What holds, its canary, and what was done."""
    path = f"/policies/{segment(name)}" + (f"/versions/{version}" if version else "")
    found = admin.get(path)
    if as_json or version:
        show_one(found, as_json)
    else:
        _show_state(found)


@app.command()
@asks_admin
def draft(
    admin: Admin,
    name: NameArgument,
    file: Annotated[Path | None, typer.Argument(help="TOML or JSON; without: print the draft")] = None,
) -> None:
    """Write the draft from a file, or print it."""
    path = f"/policies/{segment(name)}/draft"
    if file is None:
        show_one(admin.get(path), True)
        return
    show_one(admin.put(path, _read(file)), True)


@app.command()
@asks_admin
def validate(
    admin: Admin,
    name: NameArgument,
    as_json: JsonOption = False,
) -> None:
    """What is wrong with the draft and what it would cost; exit code 1 where it cannot be published."""
    found = admin.get(f"/policies/{segment(name)}/validate")
    if as_json:
        show_one(found, True)
    else:
        _show_checked(found)
    if found["errors"]:
        raise typer.Exit(1)


@app.command()
@asks_admin
def diff(
    admin: Admin,
    name: NameArgument,
    old: Annotated[int, typer.Argument(min=0, help="Version; default: the one that holds")] = 0,
    new: Annotated[int, typer.Argument(min=0, help="Version; default: the draft")] = 0,
) -> None:
    """What changes from one version to another."""
    path = f"/policies/{segment(name)}"
    from control.policy.checks import differences

    before = _policy(admin.get(f"{path}/versions/{old}" if old else path))
    after = _policy(admin.get(f"{path}/versions/{new}" if new else f"{path}/draft"))
    for line in differences(before, after):
        typer.echo(line)


@app.command()
@asks_admin
def publish(
    admin: Admin,
    name: NameArgument,
    share: ShareOption = 100.0,
    as_json: JsonOption = False,
) -> None:
    """Publish the draft as a new version: for all, or with --share for a canary that a guard watches."""
    _act(admin, name, "publish", {"share": share}, as_json)


@app.command()
@asks_admin
def canary(
    admin: Admin,
    name: NameArgument,
    share: ShareOption = 0.0,
    pause: Annotated[bool, typer.Option("--pause", help="It goes no further")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="It goes on, the guard begins anew")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give the canary another share of the devices (100: all), pause it or resume it."""
    if sum((bool(share), pause, resume)) != 1:
        raise fail("give one of --share, --pause and --resume", 2)
    body: Json = {"share": share} if share else {"paused": pause}
    _act(admin, name, "canary", body, as_json)


@app.command()
@asks_admin
def rollback(
    admin: Admin,
    name: NameArgument,
    to: Annotated[int, typer.Option("--to", min=0, help="Version that is published again")] = 0,
    as_json: JsonOption = False,
) -> None:
    """End the canary, or publish an earlier version again as a new one."""
    _act(admin, name, "rollback", {"to": to or None}, as_json)


@app.command()
@asks_admin
def retire(
    admin: Admin,
    name: NameArgument,
    as_json: JsonOption = False,
) -> None:
    """It is for nobody any more; its versions and its draft stay."""
    ended = admin.delete(f"/policies/{segment(name)}")
    show_gone(ended, as_json, f"No policy {name} was published")


@app.command()
@asks_admin
def stats(
    admin: Admin,
    as_json: JsonOption = False,
) -> None:
    """How those fare who go by each version; rates are of a thousand connections an hour."""
    found = admin.get("/heartbeat/stats")
    columns = {
        "policy": "policy",
        "version": "version",
        "arm": "arm",
        "sessions": "sessions",
        "beats": "beats",
        "deaths": "deaths",
        "deaths/h": "deaths_an_hour",
        "ends/h": "reconnects_an_hour",
        "lost": "lost",
        "rtt ms": "rtt_ms",
        "KiB/h": "kib_an_hour",
    }
    show(found, as_json, "Arms", columns, "arms")
    if not as_json:
        _show_rest(found)


@app.command()
@asks_admin
def curve(
    admin: Admin,
    net: NetOption = "",
    carrier: CarrierOption = "",
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the picture to this file")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Likewise, as PNG")] = None,
    as_json: JsonOption = False,
) -> None:
    """Share of connections alive over the silence they had (Kaplan-Meier)."""
    from control.api.admin.policy_figures import CurvesShown
    from program.cli.admin import policy_picture

    query = {"net": net, "carrier": carrier}
    found = admin.get("/heartbeat/curve", query)
    shown = msgspec.convert(found, CurvesShown)
    if svg is not None:
        svg.write_text(policy_picture.picture(shown.curve))
    if png is not None:
        png.write_bytes(policy_picture.png(shown.curve))
    if as_json:
        show_one(found, True)
        return
    typer.echo("\n".join(policy_picture.drawn(shown.curve)))
    for cell in shown.seen:
        where = f"{cell.net} {cell.carrier}".strip()
        typer.echo(f"seen: {where}: {cell.deaths} deaths, {cell.censored} censored")
    _show_silent(shown.silent)


@app.command()
@asks_admin
def suggest(
    admin: Admin,
    net: NetOption = "",
    carrier: CarrierOption = "",
    than: Annotated[float, typer.Option("--than", min=5, max=1800, help="Savings are against it")] = 240.0,
    out: Annotated[Path | None, typer.Option("--out", help="Write it as a draft file (JSON)")] = None,
    as_json: JsonOption = False,
) -> None:
    """The constants that a curve speaks for, and what they would save."""
    from control.policy.survival import Suggestion

    query = {"net": net, "carrier": carrier, "than_s": than}
    found = admin.get("/heartbeat/suggestion", query)
    shown = msgspec.convert(found, Suggestion)
    match = {name: [value] for name, value in (("net", net), ("carrier", carrier)) if value}
    made = {"match": match, "constants": found["constants"], "note": f"from the curve: {shown.why}"}
    if out is not None:
        out.write_text(json.dumps(made, indent=1) + "\n")
    if as_json:
        show_one(found, True)
        return
    typer.echo(f"evidence: {shown.why}")
    if not shown.enough:
        raise typer.Exit(1)
    for key in ("ping_interval_s", "floor_s", "ceiling_s", "step_s", "margin_s"):
        typer.echo(f"{key}: {getattr(shown.constants, key):g}")
    typer.echo(f"alive at the start interval: {shown.alive:.2%}, {shown.deaths_a_day:.2f} deaths a day")
    typer.echo(
        f"against {than:g} s, a device and day: {shown.beats_saved_a_day:.0f} beats,"
        f" {shown.mah_saved_a_day:.0f} mAh, {shown.kib_saved_a_day:.0f} KiB less"
    )


def _read(file: Path) -> Json:
    try:
        text = file.read_text()
        found: Json = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise fail(f"{file}: {error}", 2) from None
    return found


def _act(admin: Admin, name: str, what: str, body: Json, as_json: bool) -> None:
    """Based on what the policy is now: somebody else's change in between is refused."""
    path = f"/policies/{segment(name)}"
    found = admin.post(f"{path}/{what}", body, admin.revision(path))
    if as_json:
        show_one(found, True)
    else:
        _show_state(found)


def _show_state(found: Json) -> None:
    from control.api.admin.policies import PolicyShown

    shown: PolicyShown = msgspec.convert(found, PolicyShown)
    typer.echo(f"{shown.name}: version {shown.version} holds" if shown.version else f"{shown.name}: a draft")
    if canary := shown.canary:
        paused = f", paused: {canary.why}" if canary.paused else ""
        typer.echo(f"canary: version {canary.number} for {canary.share:g} % since {canary.since}{paused}")
    for step in shown.history:
        share = f" {step.share:g} %" if step.share else ""
        why = f" ({step.why})" if step.why else ""
        typer.echo(f"{step.at} {step.who}: {step.what} version {step.number}{share}{why}")


def _show_checked(found: Json) -> None:
    from control.api.admin.policies import Checked

    shown: Checked = msgspec.convert(found, Checked)
    for text in shown.errors:
        typer.secho(text, fg=typer.colors.RED, err=True)
    cost = shown.cost
    typer.echo(f"fleet: {cost.beats_per_s:.0f} beats a second")
    for text, beats, mah, kib in (
        ("longest", cost.beats_a_day_slowest, cost.mah_a_day_slowest, cost.kib_a_day_slowest),
        ("shortest", cost.beats_a_day_fastest, cost.mah_a_day_fastest, cost.kib_a_day_fastest),
    ):
        typer.echo(
            f"a device and day at its {text} interval: {beats:.0f} beats, {mah:.0f} mAh, {kib:.0f} KiB"
        )
    for line in shown.changes:
        typer.echo(line)


def _show_rest(found: Json) -> None:
    from control.api.admin.policy_figures import PolicyStats

    shown: PolicyStats = msgspec.convert(found, PolicyStats)
    for each in shown.evidence:
        typer.echo(f"evidence against {each.policy}, {each.metric}: {each.evidence:.0%} of a breach")
    for version, sessions in sorted(shown.versions.items()):
        typer.echo(f"client version {version}: {sessions} sessions")
    _show_silent(shown.silent)


def _show_silent(silent: list[str]) -> None:
    if silent:
        typer.echo(f"gateways that did not answer: {' '.join(silent)}")


def _policy(found: Json) -> Policy:
    """Of a version, a policy as it is shown (its current one), or a draft."""
    from control.policy.model import Policy as Made

    inner = found.get("policy")
    if isinstance(current := found.get("current"), dict):
        inner = current["policy"]
    return msgspec.convert(inner or found, Made)


app.command()(simulate)
