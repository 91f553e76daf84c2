"""What is wrong with what somebody wrote, in words: of an error of msgspec, which shows patterns as they are
written and never says which words of a list would have been right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from msgspec import inspect

from frame.constants import ID_PATTERN

SEEN = (
    r"[^\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    r"\U000e0000-\U000e0fff]{1,128}"
)
"""No controls, no marks that turn or hide a text."""
WORDS: Mapping[str, str] = {
    ID_PATTERN: "an id: 1 to 64 of A-Z a-z 0-9 _ . @ -",
    "[A-Za-z0-9_.@:-]{1,64}": "a name: 1 to 64 of A-Z a-z 0-9 _ . @ : -",
    "[a-z0-9][a-z0-9-]{0,31}": "a name: 1 to 32 of a-z 0-9 -, not a - first",
    "[a-z0-9][a-z0-9_.-]{0,63}": "a name: 1 to 64 of a-z 0-9 _ . -, a letter or digit first",
    "[gru]/[!-~]{1,78}": "a topic: g/, r/ or u/ and a name",
    "[0-9a-f]{12}": "an id of an API key: 12 of 0-9 a-f",
    "[0-9]{1,5}-[0-9a-f]{16}": "an id of a connection: a number, - and 16 of 0-9 a-f",
    SEEN: "1 to 128 characters that are seen: no controls, none that turn or hide a text",
    "[0-9]+": "a number as text",
    "[1-9][0-9]{0,8}": "a number from 1",
    "[A-Za-z0-9_-]{43}": "base64url of 32 bytes: 43 of A-Z a-z 0-9 _ -",
    "[A-Za-z0-9_-]{1,32}": "1 to 32 of A-Z a-z 0-9 _ -",
    "([A-Za-z0-9_.-]{1,64}/){1,4}": "one to four words of A-Z a-z 0-9 _ . -, each with a / behind it",
    r"[a-z_]{1,32}\.(\*|[a-z_.]{1,64})": "a kind, or a family of kinds, as message.single or message.*",
    r"(\*|[A-Za-z0-9_.-]{0,64})": "an env, up to 64 of A-Z a-z 0-9 _ . -, or * for all",
    "[A-Za-z0-9_.-]+": "of A-Z a-z 0-9 _ . -",
    "[A-Za-z0-9_.-]*": "of A-Z a-z 0-9 _ . -",
    "[A-Za-z0-9_-]*": "of A-Z a-z 0-9 _ -",
    "[!-~]+": "printable ASCII without spaces",
    "[!-~]{1,255}": "1 to 255 of printable ASCII without spaces",
}
"""Pattern of a text -> what it means. A test holds it against every shape that is read."""
OTHER = "of another form"
_PATTERN = re.compile(r"Expected `str` matching regex '(.*)'(?= - at |$)", re.DOTALL)
_CHOICE = re.compile(r"Invalid enum value (.*?)(?: - at (?:`key` in )?`(\$.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(?:\.\.\.|\d+)\]")


def told(error: Exception, kind: object) -> str:
    """`error`, which came of converting to `kind`."""
    text = _PATTERN.sub(lambda found: f"Expected {meaning(found[1])}", str(error))
    if (found := _CHOICE.match(text)) is None:
        return text
    of = list(_choices(_at(inspect.type_info(kind), found[2] or "$", "`key` in" in text)))
    return text.replace(found[1], f"{found[1]}, not {allowed(of)}", 1) if of else text


def allowed(choices: Iterable[object]) -> str:
    """A list that says what there is: `a`, `b` or `c`."""
    *first, last = (f"`{choice}`" for choice in choices)
    return f"{', '.join(first)} or {last}" if first else last


def meaning(pattern: str) -> str:
    """What texts of a pattern are."""
    plain, optional = bare(pattern)
    words = WORDS.get(plain, OTHER)
    return f"nothing, or {words}" if optional else words


def bare(pattern: str) -> tuple[str, bool]:
    """The pattern without what says that the text ends there, and whether it may be left out."""
    plain = pattern.removeprefix("^").removesuffix("(?!\\n)").removesuffix("$")
    if plain.startswith("(") and plain.endswith(")?"):
        return plain[1:-2], True
    return plain, False


def _at(kind: inspect.Type, path: str, key: bool) -> Iterator[inspect.Type]:
    """Every type that the text at this path of msgspec may have."""
    here = [kind]
    for step in _STEP.finditer(path):
        here = [below for one in here for each in _options(one) for below in _below(each, step[1])]
    for each in (option for one in here for option in _options(one)):
        yield each.key_type if key and isinstance(each, inspect.DictType) else each


def _options(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _options(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _options(each)
    else:
        yield kind


def _below(kind: inspect.Type, field: str | None) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        yield from (each.type for each in kind.fields if field is None or each.encode_name == field)
    elif isinstance(kind, inspect.DictType):
        yield kind.value_type
    elif isinstance(kind, inspect.ListType | inspect.SetType | inspect.VarTupleType):
        yield kind.item_type
    elif isinstance(kind, inspect.TupleType):
        yield from kind.item_types


def _choices(kinds: Iterable[inspect.Type]) -> Iterator[object]:
    for kind in kinds:
        if isinstance(kind, inspect.LiteralType):
            yield from sorted(kind.values, key=str)
        elif isinstance(kind, inspect.EnumType):
            yield from (member.value for member in kind.cls)
