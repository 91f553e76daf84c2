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

        async with Client(url, token=alice_token) as alice:
            async with Client(url, token=bob_token, store=FileCursor(position)) as bob:
                name = bob.user
                begin = await alice.send(name, "this device is new")
                async for message in bob.messages():  # it sees first what was said before
                    if message.server_id == begin.server_id:
                        talk = message.conversation
                        break

            async def read(count: int) -> None:
                async with Client(url, token=bob_token, store=FileCursor(position)) as bob:
                    async for message in bob.messages():
                        if message.conversation != talk:
                            continue
                        print(f"{name}: number {message.seq - begin.seq}: {message.text!r}")
                        count -= 1
                        if not count:
                            break

            for number in range(3):
                await alice.send(name, f"while you were away, {number}")
            await read(2)
            print(f"{name}: closed, and comes back")
            await alice.send(name, "and one more")
            await read(2)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
