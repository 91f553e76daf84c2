"""Who has read it: the watermark of a single chat, and counts of a group message.

python receipts.py http://127.0.0.1:7800 TOKEN_OF_ALICE TOKEN_OF_BOB
"""

import asyncio
import secrets
import sys

from qianwan import Client, Options


async def main(url: str, alice_token: str, bob_token: str) -> None:
    async with Client(url, token=alice_token) as alice, Client(url, token=bob_token) as bob:
        sent = await alice.send(bob.user, "have you read this?")
        async for message in bob.messages():  # a new device sees first what was said before
            if message.server_id == sent.server_id:
                break
        unread = await bob.unread()
        print(f"{bob.user}: {unread.get(message.conversation, 0)} unread")
        await bob.read(message.conversation, message.seq)
        async for notice in alice.notices():
            if notice.name == "receipt" and notice.data["seq"] == sent.seq:
                print(f"{alice.user}: {notice.data['user']} has read up to {notice.data['seq']}")
                break

        group = f"team-{secrets.token_hex(4)}"
        await alice.groups.create("team", group=group, join="free")
        await bob.groups.join(group)
        asked = await alice.send_group(group, "please confirm", options=Options(receipt=True))
        await bob.report_read(f"g/{group}", [asked.seq])
        read, left = (await alice.receipt_counts(f"g/{group}", [asked.seq]))[asked.seq]
        print(f"{alice.user}: {read} read it, {left} did not")
        who, _ = await alice.receipt_members(f"g/{group}", asked.seq)
        print(f"{alice.user}: read by", ", ".join(who))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
