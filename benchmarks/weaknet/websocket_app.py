"""The application behind the plain WebSocket server: a message is `<to>`, a line feed and the text."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

MOST = 1000  # messages held for one who is away
here: dict[str, ServerConnection] = {}
away: dict[str, list[str]] = defaultdict(list)
rooms: dict[str, set[str]] = defaultdict(set)


async def give(user: str, text: str) -> None:
    line = here.get(user)
    if line is None:
        away[user] = [*away[user], text][-MOST:]
    else:
        await line.send(text)


async def serve_one(line: ServerConnection) -> None:
    assert line.request is not None
    user = line.request.path.strip("/")
    old, here[user] = here.get(user), line
    if old is not None:
        old.transport.abort()
    try:
        for text in away.pop(user, ()):
            await line.send(text)
        async for message in line:
            to, _, text = str(message).partition("\n")
            if not to:
                rooms[text].add(user)
            for one in sorted(rooms[to] - {user}) if to.startswith("#") else [to] if to else []:
                await give(one, text)
    finally:
        if here.get(user) is line:
            del here[user]


async def main(port: str, certificate: str, key: str, ping_s: str) -> None:
    from websockets.asyncio.server import serve  # of the benchmarks' tools, which a server does without

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    async with serve(
        serve_one, "0.0.0.0", int(port), ssl=context, compression=None, ping_interval=float(ping_s)
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5]))
