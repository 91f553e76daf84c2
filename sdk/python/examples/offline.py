"""Going away and missing nothing: the position lives in a file, the messages in the service.

python offline.py http://127.0.0.1:7800 TOKEN_OF_ALICE TOKEN_OF_BOB
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from qianwan import Client, FileCursor


async def main(url: str, alice_token: str, bob_token: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        position = Path(folder) / "bob.json"

        async def read(count: int) -> None:
            async with Client(url, token=bob_token, store=FileCursor(position)) as bob:
                async for message in bob.messages():
                    print(f"bob: number {message.seq}: {message.text!r}")
                    count -= 1
                    if not count:
                        break

        async with Client(url, token=bob_token, store=FileCursor(position)) as bob:
            name = bob.user  # this device is known from now on
        async with Client(url, token=alice_token) as alice:
            for number in range(3):
                await alice.send(name, f"while you were away, {number}")
            await read(2)
            print("bob: closed, and comes back")
            await alice.send(name, "and one more")
            await read(2)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
