"""What a stranger keeps between logins, by section 16 of docs/PROTOCOL.md: numbers, and whose they are."""

from __future__ import annotations

from typing import Any

from tests.conformance.stranger.stranger_client import Stranger


class Place:
    """The cursor, the next number of each conversation, and the incarnation of the store they belong to."""

    def __init__(self) -> None:
        self.incarnation = b""
        self.restarts = -1
        self.start_over()

    def start_over(self) -> None:
        self.cursor = 0
        self.next: dict[str, int] = {}
        self.restarts += 1

    def welcomed(self, welcome: list[Any]) -> None:
        """AUTH_OK: another incarnation than the one kept ends what is kept; none said changes nothing."""
        told = welcome[6] if len(welcome) > 6 and welcome[6] else b""
        if told and self.incarnation not in (b"", told):
            self.start_over()
        self.incarnation = told or self.incarnation

    def catch_up(self, one: Stranger) -> list[str]:
        """`sync`, then `pull` what is missing; the texts that are new. Numbers that went back start over."""
        shown: list[str] = []
        more, after = True, ""
        while more:
            page = one.call("sync", cursor=self.cursor, limit=500, **({"after": after} if after else {}))
            rows = [row for row in page["conversations"] if len(row) < 6 or row[5]]
            if page["cursor"] < self.cursor or any(row[1] < self.next.get(row[0], 1) - 1 for row in rows):
                self.start_over()
                after = ""
                continue
            for name, last, _, lowest, acked, *_ in page["conversations"]:
                first = self.next.setdefault(name, max(acked, lowest - 1) + 1)
                while first <= last:
                    part = one.call("pull", conversation=name, from_seq=first, to_seq=last, limit=200)
                    found = part["messages"]
                    shown += [message[7]["text"] for message in found if not message[10] & 4]
                    first = found[-1][1] + 1 if part["more"] else last + 1
                self.next[name] = first
            more, after, self.cursor = page["more"], page.get("after", ""), page["cursor"]
        return shown
