"""The texts in what people send: every string that others may be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from im_service.calls import Args

Text = tuple[str, bool]
"""A string, and whether it can be another one: keys and names have to stay as they are."""
Change = Callable[[str], str]

NOT_SHOWN = frozenset({"url", "cover", "digest", "icon"})
"""Members that say where something lies, not what people read."""
NAMES_SOMETHING = frozenset({
    "after", "conversation", "devices", "group", "members", "owner", "role", "room", "user", "users",
})  # fmt: skip
"""Members of calls that name what is there already."""
CHOSEN = {"group.create": "group", "room.create": "room"}
"""Calls whose caller chooses an id that others see."""
FREE_TEXTS = frozenset({
    "announcement", "attach", "birth", "ext", "intro", "name", "nick", "put", "reason", "sign", "text",
    "value",
})  # fmt: skip
"""Members of calls in which a word can be masked: the others are names that have to stay the same."""


def texts_of(value: object, free: bool = True) -> Iterator[Text]:
    """Every string in maps, their keys too, and lists. Depth is bounded by the grammar."""
    if isinstance(value, str):
        yield value, free
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield key, False
            if not (key in NOT_SHOWN and isinstance(below, str)):
                yield from texts_of(below, free)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts_of(each, free)


def with_texts(value: object, change: Change) -> object:
    """The same with each string but keys as `change` gives it back."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {
            key: below if key in NOT_SHOWN and isinstance(below, str) else with_texts(below, change)
            for key, below in value.items()
        }
    if isinstance(value, list):
        return [with_texts(each, change) for each in value]
    return value


def texts_of_call(name: str, args: Args) -> Iterator[Text]:
    """What a call lets others see by its caller's choice."""
    for member in args.__struct_fields__:
        if member in NOT_SHOWN or (member in NAMES_SOMETHING and CHOSEN.get(name) != member):
            continue
        yield from texts_of(getattr(args, member), member in FREE_TEXTS)


def call_with_texts(args: Args, change: Change) -> Args:
    """The call with its free texts as `change` gives them back."""
    there = FREE_TEXTS.intersection(args.__struct_fields__)
    return replace(args, **{member: with_texts(getattr(args, member), change) for member in there})
