"""The texts in what people send: every string that others may be shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec.structs import replace

from im_service.calls import Args
from im_service.sending.hooks import Draft

Text = tuple[str, bool]
"""A string, and whether it can be another one: keys and names have to stay as they are."""
Change = Callable[[str], str]

_PLACE = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]+", re.IGNORECASE)
_HEX = "|".join(f"[0-9a-f]{{{length}}}" for length in (32, 40, 64, 96, 128))
_BASE64 = "|".join(
    f"[0-9a-z+/_-]{{{length}}}{end}"
    for length, end in ((22, "=="), (27, "="), (43, "="), (64, ""), (86, "=="))
)
NOT_SHOWN = {
    "url": _PLACE,
    "cover": _PLACE,
    "icon": _PLACE,
    "digest": re.compile(rf"(?:(?:md5|sha-?(?:1|256|384|512))[:-])?(?:{_HEX}|{_BASE64})", re.IGNORECASE),
}
"""Members that say where something lies, not what people read, where what they hold looks like that."""
JSON_DEPTH = 4
"""How often a text is looked at without its escapes, and without those that come to light, ..."""
_ESCAPE = re.compile(r"(\\+)(?:u([0-9A-Fa-f]{4})|([^\\]|\Z))", re.DOTALL)
"""A run of backslashes is taken as a whole: however long, it is passed once."""
_MEANT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", '"': '"'}
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_TEXT = re.compile(r"[\ufffd\0-\x08\x0e-\x1f\x7f-\x9f]")
"""What is in bytes that are no text, a third of them and more."""
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
        yield from _inside(value)
    elif isinstance(value, bytes):
        if text := _spelled(value):
            yield from texts_of(text, False)
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield from texts_of(key, False)
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


def _inside(text: str) -> Iterator[Text]:
    """What a text says to those who take it for JSON, in which JSON may stand: without its escapes, again
    and again. Nothing has to be well-formed for that: readers differ in what they take."""
    for _ in range(JSON_DEPTH):
        if "\\" not in text:
            return
        before, text = text, _ESCAPE.sub(_unescaped, text)
        if _SURROGATE.search(text):
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
        if text == before:
            return
        yield text, False


def _unescaped(escape: re.Match[str]) -> str:
    """Of backslashes and what they stand before. Before a code all of them go: whatever it is within, it ends
    as that character."""
    run, code, other = escape.groups()
    if code:
        return chr(int(code, 16))
    kept = run[: len(run) // 2]
    if len(run) % 2 == 0:
        return kept + other
    return kept + (_MEANT.get(other) or "\\" + other)


def _spelled(value: bytes) -> str:
    """Bytes as the text that they are, or nearly are; empty for others, of which chance makes words."""
    text = value.decode(errors="replace")
    if "\ufffd" in text and 3 * len(_NO_TEXT.findall(text)) > len(text):
        return ""
    return text


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
