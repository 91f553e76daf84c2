"""A chatroom: nothing is stored, everybody in it hears what is said now.

Rooms are made by the application's server, once:
curl -X POST http://127.0.0.1:7800/v1/rooms -H "X-API-Key: $KEY" -d '{"room": "lobby"}'

python chatroom.py http://127.0.0.1:7800 TOKEN_OF_ALICE TOKEN_OF_BOB
"""

import asyncio
import sys

from qianwan import Client, RequestError


async def main(url: str, alice_token: str, bob_token: str) -> None:
    async with Client(url, token=alice_token) as alice, Client(url, token=bob_token) as bob:
        async with await alice.join_room("lobby") as stage, await bob.join_room("lobby") as seat:
            print(f"{bob.user}: {seat.online} people are here")
            for line in ("good evening", "and welcome", "to the lobby"):
                await stage.send(line)
            heard = 0
            async for message in seat:
                print(f"{bob.user}: {message.sender} says {message.text!r}")
                heard += 1
                if heard == 3:
                    break
        try:
            await bob.send_to("r/lobby", "am I still here?")
        except RequestError as refused:
            print(f"{bob.user}: {refused}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
