"""Scene three, the audience: many room members in one process of its own, started by the demo.

Speaks JSON lines: the plan comes in on standard input, progress and the account go out on standard output.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import uvloop
from qianwan.light import LightSwarm

from program.access import Access
from program.demo.tally import Row, Suite, Transport

REPORT_S = 0.25
JOIN_TIMEOUT_S = 60.0
QUIET_S = 20.0
PARALLEL_TOKENS = 8


class Part(msgspec.Struct):
    """Members that share a suite and a transport."""

    suite: Suite
    transport: Transport
    users: list[str]


class Plan(msgspec.Struct):
    url: str
    api_key: str
    room: str
    broadcasts: int
    parts: list[Part]


class Report(msgspec.Struct, omit_defaults=True):
    """One line of progress; `rows` only in the last one."""

    joined: int = 0
    received: int = 0
    rows: list[Row] = []
    error: str = ""


def say(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


async def attend(plan: Plan) -> None:
    """Join with every member, count what comes, tell the account."""
    access = Access(plan.url, plan.api_key)
    users = [user for part in plan.parts for user in part.users]
    with ThreadPoolExecutor(PARALLEL_TOKENS) as pool:
        tokens = dict(zip(users, pool.map(access.token, users), strict=True))
    swarms = []
    for part in plan.parts:
        swarm = LightSwarm(
            plan.url,
            [(f"{user}-1", tokens[user]) for user in part.users],
            room=plan.room,
            suites=(part.suite,),
            transports=(part.transport,),
        )
        await swarm.open(timeout_s=JOIN_TIMEOUT_S)
        swarms.append(swarm)
        say(Report(joined=sum(len(open_.members) for open_ in swarms)))
    joined = len(users)
    reporter = asyncio.create_task(report_progress(swarms, joined))
    await asyncio.gather(
        *(
            hear_out(swarm, len(part.users) * plan.broadcasts)
            for swarm, part in zip(swarms, plan.parts, strict=True)
        )
    )
    reporter.cancel()
    rows = [settle(swarm, part, plan.broadcasts) for swarm, part in zip(swarms, plan.parts, strict=True)]
    say(Report(joined, sum(swarm.count for swarm in swarms), rows))
    for swarm in swarms:
        await swarm.close()


async def hear_out(swarm: LightSwarm, expected: int) -> None:
    """Until all has come, or nothing comes any more: a slow machine has lost nothing. The first message waits
    until the last member of all processes is in the room.
    """
    patience, heard = JOIN_TIMEOUT_S, -1
    while swarm.count > heard:
        heard = swarm.count
        if await swarm.received(expected, timeout_s=patience):
            return
        patience = QUIET_S


async def report_progress(swarms: list[LightSwarm], joined: int) -> None:
    while True:
        await asyncio.sleep(REPORT_S)
        say(Report(joined, sum(swarm.count for swarm in swarms)))


def settle(swarm: LightSwarm, part: Part, broadcasts: int) -> Row:
    """The account of one swarm: what never came is lost, a hole or the tail alike."""
    totals = swarm.totals()
    expected = len(part.users) * broadcasts
    unique = totals.received - totals.duplicated
    return Row(
        "room",
        part.suite,
        part.transport,
        totals.members,
        expected=expected,
        delivered=totals.received,
        lost=max(0, expected - unique),
        doubled=totals.duplicated,
        swapped=totals.reordered,
    )


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(attend(plan))
        except Exception as error:
            say(Report(error=f"{type(error).__name__}: {error}"))
            sys.exit(1)


if __name__ == "__main__":
    main()
