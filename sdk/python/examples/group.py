"""A group: made by one, joined by invitation, with a message that is taken back.

python group.py http://127.0.0.1:7800 TOKEN_OF_ALICE TOKEN_OF_BOB
"""

import asyncio
import secrets
import sys

from qianwan import Client


async def main(url: str, alice_token: str, bob_token: str) -> None:
    async with Client(url, token=alice_token) as alice, Client(url, token=bob_token) as bob:
        group = f"walks-{secrets.token_hex(4)}"
        made = await alice.groups.create("Sunday walks", group=group, members=[bob.user])
        if bob.user in made["invited"]:  # nobody is put into a group unasked, unless they want it so
            for asked in await bob.groups.requests():
                if asked["group"] == group:
                    await bob.groups.decide(group, asked["id"], accept=True)
        await alice.send_group(group, "Where do we go?")
        wrong = await alice.send_group(group, "To the see!")
        await alice.recall(f"g/{group}", wrong.seq)
        await alice.send_group(group, "To the sea!")
        async for message in bob.messages():
            if message.conversation != f"g/{group}":
                continue  # a new device sees also what was said elsewhere before
            if message.event:
                print(f"{bob.user}: [{message.event}] {message.body.get('seq', '')}")
            else:
                print(f"{bob.user}: {message.sender} says {message.text!r}")
            if message.text == "To the sea!":
                break
        members = await bob.groups.members(group)
        print(f"{bob.user}: we are", ", ".join(f"{m['user']} ({m['role']})" for m in members))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
