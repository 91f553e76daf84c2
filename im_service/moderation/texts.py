"""The texts in what people send: every string that others may be shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from im_service.calls import Args
from im_service.sending.hooks import Draft

Text = tuple[str, bool]
"""A string, and whether it can be another one: keys and names have to stay as they are."""
Change = Callable[[str], str]

_PLACE = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+", re.IGNORECASE)
NOT_SHOWN = {
    "url": _PLACE,
    "cover": _PLACE,
    "icon": _PLACE,
    "digest": re.compile(r"[0-9A-Za-z+/=_:-]{16,128}"),
}
"""Members that say where something lies, not what people read, where what they hold looks like that."""
JSON_DEPTH = 4
"""Of texts that are JSON, in which texts are JSON, ..."""
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
        yield from _inside(value, JSON_DEPTH)
    elif isinstance(value, bytes):
        yield from _spelled(value)
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield key, False
            if not _is_place(key, below):
                yield from texts_of(below, free)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts_of(each, free)


def texts_of_draft(draft: Draft, body: object) -> Iterator[Text]:
    """Of a message, whose body is given decoded."""
    yield from texts_of(body)
    if draft.ext:
        yield from texts_of(draft.ext)
    yield from texts_of(draft.shown, free=False)


def _is_place(key: str, value: object) -> bool:
    place = NOT_SHOWN.get(key)
    return place is not None and isinstance(value, str) and place.fullmatch(value) is not None


def _inside(text: str, depth: int) -> Iterator[Text]:
    """The strings of a text that is JSON: written with escapes they are others than those that are shown."""
    if "\\" not in text or not depth or text.lstrip()[:1] not in ("{", "[", '"'):
        return
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    level = [value]
    for each in level:
        if isinstance(each, str):
            yield each, False
            yield from _inside(each, depth - 1)
        elif isinstance(each, dict):
            level += [*each, *each.values()]
        elif isinstance(each, list):
            level += each


def _spelled(value: bytes) -> Iterator[Text]:
    """Bytes that are a text."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    yield text, False


def with_texts(value: object, change: Change) -> object:
    """The same with each string but keys as `change` gives it back."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {
            key: below if _is_place(key, below) else with_texts(below, change) for key, below in value.items()
        }
    if isinstance(value, list):
        return [with_texts(each, change) for each in value]
    return value


def texts_of_call(name: str, args: Args) -> Iterator[Text]:
    """What a call lets others see by its caller's choice."""
    for member in args.__struct_fields__:
        value: object = getattr(args, member)
        if _is_place(member, value) or (member in NAMES_SOMETHING and CHOSEN.get(name) != member):
            continue
        yield from texts_of(value, member in FREE_TEXTS)


def call_with_texts(args: Args, change: Change) -> Args:
    """The call with its free texts as `change` gives them back."""
    there = FREE_TEXTS.intersection(args.__struct_fields__)
    return replace(args, **{member: with_texts(getattr(args, member), change) for member in there})
