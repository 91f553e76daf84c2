"""`make faults`: kills and stops each kind of process of a real cluster while people send; what it cost.

python tools/faults.py --clients 200 --seed 7
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

import uvloop

from program.cluster.faults import Crowd, Outcome, inject
from program.cluster.local import LocalCluster, bring_up
from program.cluster.plan import ClusterError

KINDS = ("gateway", "im", "control", "etcd leader", "etcd follower", "nats", "postgres")
COLUMNS = "{:<9} {:<24} {:>8} {:>5} {:>8} {:>8} {:>9}  {}"


def victim_of(cluster: LocalCluster, kind: str, dice: random.Random) -> str:
    """A process of that kind, as the dice fall."""
    name, _, part = kind.partition(" ")
    found = [each for each in cluster.status() if each.name.split("-")[0] == name]
    return dice.choice([each.name for each in found if not part or each.part == part])


async def table(cluster: LocalCluster, arguments: argparse.Namespace, dice: random.Random) -> list[Outcome]:
    """Every fault of every kind, in an order of the dice."""
    crowd = Crowd(cluster, arguments.clients, arguments.pace)
    found: list[Outcome] = []
    try:
        await crowd.come()
        faults = [(fault, kind) for fault in ("killed", "stopped") for kind in arguments.kinds]
        dice.shuffle(faults)
        for fault, kind in faults:
            victim = await asyncio.to_thread(victim_of, cluster, kind, dice)
            one = await inject(cluster, crowd, fault, victim)
            found.append(one)
            named = victim if kind == victim or " " not in kind else f"{victim} ({kind.split()[1]})"
            state = "whole" if one.whole else "NOT WHOLE"
            counts = (one.acked, one.lost, one.doubled, one.swapped)
            print(COLUMNS.format(fault, named, *counts, f"{one.normal_s:.1f} s", state), flush=True)
    finally:
        await crowd.go()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--pace", type=float, default=1.0, help="seconds between the messages of one client")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    arguments = parser.parse_args()
    print(f"{arguments.clients} clients send; --seed {arguments.seed} repeats the choices")
    folder = Path(tempfile.mkdtemp(prefix="qianwan-faults-"))
    folder.chmod(0o755)  # the user of PostgreSQL enters it
    try:
        cluster = bring_up(folder, print)
        print(COLUMNS.format("fault", "process", "acked", "lost", "doubled", "swapped", "normal", "after it"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(table(cluster, arguments, random.Random(arguments.seed)))
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if (folder / "cluster.json").exists():
            LocalCluster(folder).down()
        shutil.rmtree(folder, ignore_errors=True)
    bad = sum(not one.clean for one in found)
    print(f"{len(found)} faults, {bad} of them cost a message or left somebody deaf")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
