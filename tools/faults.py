"""`make faults`: each kind of fault of each kind of process, while people send; what each of them cost.

python tools/faults.py --clients 200 --seed 7 --rounds 2
python tools/faults.py --acts away "cut off" --kinds etcd --json found.json
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import msgspec
import uvloop

from benchmarks.machine import commit, machine
from program.cluster.crowd import Crowd
from program.cluster.faults import ACTS, Act, Fault, Outcome, inject
from program.cluster.local import LocalCluster, bring_up
from program.cluster.partition import Way, heal, impossible
from program.cluster.plan import ClusterError, Kind
from program.cluster.starts import Deaf, starts

KINDS: tuple[Kind, ...] = ("gateway", "im", "control", "etcd", "nats", "postgres")
PARTS = {"etcd": ("leader", "follower")}
CUTS: tuple[tuple[Kind, Kind | None], ...] = (
    ("gateway", "etcd"),
    ("gateway", "nats"),
    ("im", "etcd"),
    ("im", "nats"),
    ("im", "postgres"),
    ("control", "etcd"),
    ("control", "nats"),
    ("etcd", None),
    ("nats", None),
)
"""Who is cut off from whom; None: from everybody."""
ONE_WAY: tuple[Way, ...] = ("in", "out")
ROLLING: tuple[Kind, ...] = ("control", "im", "gateway", "nats", "etcd", "postgres")
STOPPED_S = 10.0
COLUMNS = "{:<25} {:<21} {:>6} {:>4} {:>7} {:>7} {:>6} {:>4} {:>6} {:>8} {:>8} {:>7} {:>6}  {}"
HEADINGS = (
    "fault", "process", "acked", "lost", "doubled", "swapped",
    "errors", "cut", "logins", "slowest", "normal", "back", "guests", "after it",
)  # fmt: skip


class Planner:
    """The faults of a round; who is hit as the dice fall when it is its turn."""

    def __init__(self, cluster: LocalCluster, arguments: argparse.Namespace, dice: random.Random) -> None:
        self._cluster = cluster
        self._arguments = arguments
        self._dice = dice

    def round(self) -> list[tuple[Act, Kind, str, Kind | None, Way]]:
        """(what is done, to which kind, which part of it, from whom it is cut off, how), in any order."""
        found: list[tuple[Act, Kind, str, Kind | None, Way]] = []
        kinds, acts = self._arguments.kinds, self._arguments.acts
        for act in ("killed", "stopped"):
            found += [(act, k, part, None, "both") for k in kinds for part in PARTS.get(k, ("",))]
        found += [("away", kind, "", None, "both") for kind in ("etcd", "nats") if kind in kinds]
        for kind, of in CUTS:
            if kind in kinds:
                part = self._dice.choice(PARTS.get(kind, ("",)))
                found += [("cut off", kind, part, of, way) for way in ("both", self._dice.choice(ONE_WAY))]
        found = [each for each in found if each[0] in acts]
        self._dice.shuffle(found)
        if "restarted" in acts:
            found.append(("restarted", "gateway", "", None, "both"))
        return found

    def fault(self, act: Act, kind: Kind, part: str, of: Kind | None, way: Way) -> Fault:
        plan = self._cluster.plan
        if act == "restarted":
            return Fault(act, tuple(one.name for each in ROLLING for one in plan.of(each)))
        if act == "away":
            return Fault(act, tuple(one.name for one in plan.of(kind)), self._arguments.away_s)
        known = [each for each in self._cluster.status() if each.name.startswith(kind)]
        victim = self._dice.choice([each.name for each in known if not part or each.part == part])
        lasts_s = {"stopped": STOPPED_S, "cut off": self._arguments.cut_s}.get(act, 0.0)
        return Fault(act, (victim,), lasts_s, of, way)


def shown(one: Outcome, part: str) -> str:
    victim = f"{one.victim} ({part})" if part else one.victim
    if len(victim) > 21:
        victim = f"{one.victim.count(',') + 1} in order" if one.fault == "restarted" else victim[:21]
    state = "; ".join([*([] if one.whole else ["NOT WHOLE"]), *one.complaints]) or "whole"
    counts = (one.acked, one.lost, one.doubled, one.swapped, one.errors, one.cut, one.logins)
    seconds = (f"{each:.1f} s" for each in (one.slowest_s, one.normal_s, one.back_s))
    guests = f"{one.served}/{one.guests}" if one.guests else ""
    return COLUMNS.format(one.fault, victim, *counts, *seconds, guests, state)


class Found(msgspec.Struct):
    """What a run found: a line for each fault; who was deaf after each start."""

    faults: list[Outcome] = []
    starts: list[Deaf] = []

    @property
    def clean(self) -> bool:
        return all(one.clean for one in self.faults) and all(one == Deaf(0, 0, 0) for one in self.starts)

    def sums(self) -> Iterator[str]:
        bad = sum(not one.clean for one in self.faults)
        yield f"{len(self.faults)} faults; {bad} cost a message, left somebody deaf, or broke a promise"
        for one in self.faults:
            if one.fault == "restarted":
                most = one.most_logins
                yield f"all restarted in order: {one.cut} connections cut, {most} logins of a client at most"
        if self.starts:
            deaf = (sum(getattr(one, name) for one in self.starts) for name in ("group", "room", "kicks"))
            yield "{} starts of im: deaf in the group {}, in the room {}, to kicks {}".format(
                len(self.starts), *deaf
            )


async def table(
    cluster: LocalCluster, arguments: argparse.Namespace, dice: random.Random, found: Found
) -> None:
    """Every fault of every kind, in an order of the dice; then the starts."""
    crowd = Crowd(cluster, arguments.clients, arguments.pace)
    planner = Planner(cluster, arguments, dice)
    try:
        await crowd.come()
        for _ in range(arguments.rounds):
            for act, kind, part, of, way in planner.round():
                fault = await asyncio.to_thread(planner.fault, act, kind, part, of, way)
                found.faults.append(await inject(cluster, crowd, fault))
                print(shown(found.faults[-1], part), flush=True)
    finally:
        await crowd.go()
    if arguments.starts:
        found.starts = await starts(cluster, arguments.comers, arguments.starts)


def written(path: Path, arguments: argparse.Namespace, found: Found) -> None:
    """What it was run with, where, and each line of the table."""
    made = {
        "of": "faults of a cluster on one machine",
        "command": shlex.join(["tools/faults.py", *sys.argv[1:]]),
        "clients": arguments.clients,
        "seed": arguments.seed,
        "away_s": arguments.away_s,
        "machine": machine(),
        "commit": commit(),
        "faults": found.faults,
        "starts": found.starts,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")


def interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--pace", type=float, default=1.0, help="seconds between the messages of one client")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault is done to each kind")
    parser.add_argument("--acts", nargs="*", choices=ACTS, default=ACTS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--away-s", type=float, default=120.0, help="that etcd, or NATS, is away as a whole")
    parser.add_argument("--cut-s", type=float, default=20.0, help="that a process is cut off")
    parser.add_argument("--starts", type=int, default=0, help="starts of the im processes while users log in")
    parser.add_argument("--comers", type=int, default=60, help="users who log in around each start")
    parser.add_argument("--json", type=Path, help="write what was found")
    return parser.parse_args()


def main() -> int:
    arguments = parsed()
    if "cut off" in arguments.acts and (problem := impossible()):
        print(f"left out: nobody can be cut off: {problem}", file=sys.stderr)
        arguments.acts = [each for each in arguments.acts if each != "cut off"]
    signal.signal(signal.SIGTERM, interrupted)
    print(f"{arguments.clients} clients send; --seed {arguments.seed} repeats the choices")
    folder = Path(tempfile.mkdtemp(prefix="qianwan-faults-"))
    folder.chmod(0o755)  # the user of PostgreSQL enters it
    found, failed = Found(), True
    try:
        if not impossible():
            heal()  # of a run that was killed
        cluster = bring_up(folder, lambda _: None)
        print(COLUMNS.format(*HEADINGS), flush=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(table(cluster, arguments, random.Random(arguments.seed), found))
        failed = not found.clean
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        if (folder / "cluster.json").exists():
            LocalCluster(folder).down()
        if failed:
            kept = shutil.copytree(folder / "log", f"{folder}-log")
            print(f"logs: {kept}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        for line in found.sums():
            print(line)
        if arguments.json:
            written(arguments.json, arguments, found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
