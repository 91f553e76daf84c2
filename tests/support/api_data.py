"""A server with something to show on every route: people, messages, groups, rooms, requests, broadcasts."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import httpx
import qianwan

from tests.support.server_process import ServerProcess

PEOPLE = ["alice", "bob", "carl", "dora"]
GROUPS = ("crew", "club")
"""Also of readers of events."""
Known = dict[str, list[Any]]


class Filler:
    """Fills a server through its HTTP API and keeps what a caller may name."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._http = httpx.Client(
            base_url=server.url + "/v1", headers={"X-API-Key": server.first_api_key()}, timeout=20
        )
        self.server_ids: list[int] = []
        self.broadcasts: list[int] = []

    def ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, (method, path, answer.text)
        return answer.json()

    def say(self, sender: str, target: str, text: str, **more: Any) -> int:
        """-> seq"""
        sent = self.ask(
            "POST", "/messages", sender=sender, target=target, body={"text": text}, ext="e", **more
        )
        self.server_ids.append(sent["server_id"])
        return int(sent["seq"])

    def groups(self) -> None:
        for group in GROUPS:
            self.ask("POST", "/groups", group=group, owner="alice", members=PEOPLE[1:3], join="approval")
            for n in range(4):
                self.say("alice", f"g/{group}", f"to all {n}", options={"receipt": True})
            self.ask("POST", "/messages/edit", conversation=f"g/{group}", seq=2, body={"text": "better"})
            self.ask("POST", f"/users/dora/groups/{group}/join", text="let me in")

    def people(self) -> None:
        self.ask("POST", "/users", user="erin", nick="Erin")
        self.ask("POST", "/users/erin/erase")
        for user in PEOPLE:
            self.ask("PATCH", f"/users/{user}/profile", nick=user.title(), gender=1)
        self.ask("POST", "/users/alice/friends", user="bob")
        self.ask("POST", "/users/carl/friend-requests", user="alice", text="hello")
        self.ask("PUT", "/users/bob/blacklist/dora")
        for n in range(4):
            self.say("bob", "u/alice", f"line {n}")
        self.ask("POST", "/messages/edit", conversation="s/alice:bob", seq=2, body={"text": "better"})
        for seq in (1, 2, 3):
            self.ask("POST", "/users/alice/reactions", conversation="s/alice:bob", seq=seq, kind="+1")
        self.ask("POST", "/messages/recall", conversation="s/alice:bob", seq=4, text="a slip")
        self.ask("POST", "/users/alice/conversations/set", conversation="s/alice:bob", pin=True, ext="x")

    def rooms(self) -> None:
        for room in ("lobby", "stage"):
            self.ask("POST", "/rooms", room=room, owner="alice", ring=10, history=True)
            self.ask("POST", f"/rooms/{room}/attributes", put={"topic": "all"})
            for key in ("one", "two"):
                self.ask("POST", f"/rooms/{room}/queue", key=key, value="v")

    def notices(self) -> None:
        for n in range(3):
            sent = self.ask("POST", "/broadcasts", body={"data": f"notice {n}"}, lifetime_s=3600)
            self.broadcasts.append(sent["id"])

    def reported(self) -> None:
        """What people said of messages, and how far readers of events are."""
        for seq in (1, 2, 3):
            self.ask("POST", "/users/alice/reports", conversation="s/alice:bob", seq=seq)
        cursor = self.ask("GET", "/events/cursor?at=head")["cursor"]
        for group in GROUPS:
            self.ask("PUT", f"/events/groups/{group}", cursor=cursor)

    async def come(self, stack: AsyncExitStack) -> None:
        """Two of them on a device, in the rooms, saying something; they stay as long as the stack."""
        for user in PEOPLE[:2]:
            one = await stack.enter_async_context(
                qianwan.Client(self._server.url, token=self._server.token(user), device_id="d")
            )
            for room in ("lobby", "stage"):
                await one.call("room.join", {"room": room})
                await one.send_to(f"r/{room}", f"{user} is here")
            if user == "bob":
                await one.call("receipt.report", {"conversation": "g/crew", "seqs": [1, 2]})

    def known(self) -> Known:
        requests = self.ask("GET", "/groups/crew/requests")["requests"]
        requests += self.ask("GET", "/users/alice/friend-requests")["requests"]
        requests += self.ask("GET", "/moderation/queue")["items"]
        return {
            "user": PEOPLE,
            "me": PEOPLE[:2],
            "erased": ["erin"],
            "sender": PEOPLE,
            "owner": PEOPLE,
            "users": [PEOPLE[:2], PEOPLE[2:]],
            "members": [PEOPLE[1:]],
            "devices": [["d"]],
            "target": ["u/bob", "g/crew", "r/lobby"],
            "targets": [["u/bob", "g/club"]],
            "conversation": ["g/crew", "s/alice:bob", "g/crew", "g/club"],
            "conversations": [["s/alice:bob", "g/crew"]],
            "group": list(GROUPS),
            "room": ["lobby", "stage"],
            "seq": [1, 2, 3],
            "seqs": [[1, 2], [3]],
            "up_to_seq": [1],
            "server_id": self.server_ids,
            "id": [*self.broadcasts, *(line["id"] for line in requests)],
            "body": [{"text": "hello"}],
            "key": ["one", "two"],
        }
