"""Two people say hello.

    python hello.py http://127.0.0.1:7800 TOKEN_OF_ALICE TOKEN_OF_BOB

Tokens: `qianwan token --user alice`, or your own server asks `POST /v1/tokens`.
"""

import asyncio
import sys

from qianwan import Client


async def main(url: str, alice_token: str, bob_token: str) -> None:
    async with Client(url, token=alice_token) as alice, Client(url, token=bob_token) as bob:
        ack = await alice.send(bob.user, "hello")
        print(f"{alice.user}: stored as number {ack.seq} of our conversation")
        async for message in bob.messages():  # a new device sees first what was said before
            if message.server_id == ack.server_id:
                print(f"{bob.user}: {message.sender} says {message.text!r}")
                break
        ack = await bob.send(alice.user, "hello yourself")
        async for message in alice.messages():
            if message.server_id == ack.server_id:
                print(f"{alice.user}: {message.sender} says {message.text!r}")
                break


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
