"""A process that holds a node id and says in lines what becomes of it; tests stop it and let it go on.

python -m tests.support.etcd_owner '{"endpoints": [...]}' NAME LAST_ID
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

from control.coordination.etcd.client import connect
from control.coordination.etcd.registration import Registration
from control.settings.build import build


def say(*words: object) -> None:
    print(*words, time.monotonic(), flush=True)


async def main(given: str, name: str, last_id: int) -> None:
    client = await connect(build({"etcd": json.loads(given)}).etcd)
    registration = Registration(client, name, last_id)
    registration.on_lost(lambda: say("lost", registration.held))
    registration.on_kept(lambda: say("kept", *registration.own))
    registration.on_taken(lambda by: say("taken", by))
    await registration.start()
    say("own", *registration.own)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
