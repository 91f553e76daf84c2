"""What can be done with a message after it was sent; part of `Client`."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from qianwan.api.base import Page, given, page
from qianwan.models import Message, message_from


class Reaction(NamedTuple):
    """A quick comment."""

    seq: int
    user: str
    kind: str
    time_ms: int
    ext: str = ""


def _reaction(row: Any) -> Reaction:
    return Reaction(*row[:5])


class MessageCalls:
    """Methods of `Client` about single messages and conversations. All raise RequestError."""

    async def call(
        self, method: str, args: dict[str, Any] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        raise NotImplementedError

    async def recall(
        self, conversation: str, seq: int, *, mode: Literal["both", "receiver"] = "both", text: str = ""
    ) -> bool:
        """Take a message back for everybody, or from the receiver only; False when it was done before."""
        args = {"conversation": conversation, "seq": seq, "mode": mode, "text": text}
        return bool((await self.call("recall", args))["changed"])

    async def delete(self, conversation: str, seqs: list[int]) -> int:
        """Delete messages for me alone; how many there were."""
        return int((await self.call("delete", {"conversation": conversation, "seqs": seqs}))["deleted"])

    async def edit(self, conversation: str, seq: int, text: str) -> int:
        """Give a text message of mine a new text; its version."""
        args = {"conversation": conversation, "seq": seq, "body": {"text": text}}
        return int((await self.call("edit", args))["version"])

    async def report(self, conversation: str, seq: int, *, category: str = "", text: str = "") -> bool:
        """Tell those who moderate of somebody's message; False when I had done so before."""
        args = {"conversation": conversation, "seq": seq, "category": category, "text": text}
        return bool((await self.call("message.report", args))["changed"])

    async def react(self, conversation: str, seq: int, kind: str, *, on: bool = True) -> bool:
        """Add or take away a quick comment; False when nothing changed."""
        args = {"conversation": conversation, "seq": seq, "kind": kind, "on": on}
        return bool((await self.call("react", args))["changed"])

    async def reactions(self, conversation: str, seqs: list[int], *, after: str = "") -> Page[Reaction]:
        """The quick comments of these messages, behind the place `after`."""
        args = {"conversation": conversation, "seqs": seqs, "after": after}
        return page(await self.call("reactions", args), "reactions", next="after", read=_reaction)

    async def read(self, conversation: str, seq: int) -> int:
        """I have read a conversation up to `seq`; the watermark as it now is (it never goes down)."""
        return int((await self.call("read", {"conversation": conversation, "seq": seq}))["seq"])

    async def unread(self, conversations: list[str] | None = None) -> dict[str, int]:
        """Unread counts (1000 = or more); conversations without any are left out."""
        counts: dict[str, int] = {}
        more, after = True, ""
        while more:
            found = await self.call("unread", given(conversations=conversations, after=after))
            counts |= found["conversations"]
            more, after = bool(found["more"] and found["after"] != after), found["after"]
        return counts

    async def receipts(self, conversations: list[str]) -> dict[str, int]:
        """How far the peers of single chats have read."""
        return dict((await self.call("receipts", {"conversations": conversations}))["receipts"])

    async def report_read(self, conversation: str, seqs: list[int]) -> None:
        """Receipts of group messages that asked for one (at most 50)."""
        await self.call("receipt.report", {"conversation": conversation, "seqs": seqs})

    async def receipt_counts(self, conversation: str, seqs: list[int]) -> dict[int, tuple[int, int]]:
        """(read, unread) of my group messages, by seq."""
        found = await self.call("receipt.counts", {"conversation": conversation, "seqs": seqs})
        return {seq: (read, unread) for seq, read, unread in found["counts"]}

    async def receipt_members(self, conversation: str, seq: int) -> tuple[list[str], list[str]]:
        """Who has read a group message, and who has not."""
        args = {"conversation": conversation, "seq": seq}
        read: list[str] = []
        unread: list[str] = []
        more, after = True, ""
        while more:
            found = await self.call("receipt.list", {**args, "after": after})
            read += found["read"]
            unread += found["unread"]
            more, after = bool(found.get("more") and found["after"] != after), found.get("after", "")
        return read, unread

    async def history(
        self,
        conversation: str,
        *,
        from_seq: int = 0,
        to_seq: int | None = None,
        limit: int = 100,
        newest_first: bool = True,
    ) -> Page[Message]:
        """The cloud history between two numbers, at most 100 messages at a time; `messages()` is not touched.

        A page may be empty and have `more` behind it (what is hidden is left out): go on with `to_seq`
        (newest first) or `from_seq` = its `next`.
        """
        args = given(conversation=conversation, from_seq=from_seq, to_seq=to_seq, limit=limit)
        found = await self.call("history", {**args, "reverse": newest_first})
        whole = page(found, "messages", next="next_seq", read=message_from)
        shown = tuple(message for message in whole if not message.hidden)
        following = whole.next
        if following is None and whole.items:
            following = whole[-1].seq + (-1 if newest_first else 1)
        return Page(shown, whole.more, following)

    async def get(self, conversation: str, seqs: list[int]) -> Page[Message]:
        """Messages by their numbers."""
        found = await self.call("get", {"conversation": conversation, "seqs": seqs})
        return page(found, "messages", read=message_from)

    async def conversations(self, *, limit: int = 50, before: str | None = None) -> Page[dict[str, Any]]:
        """The conversation list, pinned and newest first: go on with `before` = its `next`."""
        found = await self.call("conversations", given(limit=limit, before=before))
        return page(found, "conversations", next="before", limit=limit)

    async def set_conversation(
        self, conversation: str, *, mute: bool | None = None, pin: bool | None = None, ext: str | None = None
    ) -> dict[str, Any]:
        """Do not disturb, pin to the top, notes of the application."""
        args = given(conversation=conversation, mute=mute, pin=pin, ext=ext)
        settings: dict[str, Any] = await self.call("conversation.set", args)
        return settings

    async def clear_conversation(self, conversation: str, up_to_seq: int) -> None:
        """Forget messages up to `up_to_seq`, for me alone."""
        await self.call("conversation.clear", {"conversation": conversation, "up_to_seq": up_to_seq})
