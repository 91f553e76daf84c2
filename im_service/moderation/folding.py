"""One spelling for all disguises of a text: width, case, traditional characters, accents, look-alikes, gaps.

Two texts that people read alike have the same folded text. It is for comparing only and never shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import opencc

MOST_REMEMBERED = 200_000
"""Characters whose folding is kept: more than languages in use have, fewer than a hostile text may bring."""

CHAIN = 4
"""Steps in which a character comes to its simplest: two in OpenCC's tables."""

_GAPS = frozenset("ZPSC")
"""Unicode categories that a word may be broken up with: separators, punctuation, symbols, controls."""
_MARKS = (
    (0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05C7), (0x0610, 0x061A), (0x0640, 0x0640),
    (0x064B, 0x065F), (0x0670, 0x0670), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F), (0x2800, 0x2800),
)  # fmt: skip
"""Accents, points and fillers, which are left out. Vowel signs of Indic scripts and Thai are letters."""
_IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt: what no font draws."""

_ALIKE_CYRILLIC = "авсԁеһіјкӏмнпорԛѕтухѵԝзь", "abcdehijklmhnopqstyxvw3b"
_ALIKE_GREEK = "αβγεηικνοπρτυχω", "abyenikvonptuxw"
_ALIKE_LATIN = "ıȷɑɡɩⱡꜱʏʟɢɪɴʀʙʜᴀᴄᴅᴇᴊᴋᴍᴏᴘᴛᴜᴠᴡᴢøđħłŧƒß", "ijagllsylginrbhacdejkmoptuvwzodhltfs"
_ALIKE_ARMENIAN = "օսհոցզ", "ouhngq"
_ALIKE_CHEROKEE = "ᎠᎡᎢᎥᎩᎪᎫᎬᎳᎷᎻᎽᏀᏃᏎᏏᏒᏔᏕᏙᏚᏞᏟᏢᏦᏧᏴ", "drtiyajewmhygz4brwsvslcpkdb"
_ALIKE_LISU = "ꓐꓑꓒꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴꓵ", "bpddtgkjczfmnlsrvhwxyaeioun"
_ALIKE = {
    ord(shown): meant
    for pairs in (
        _ALIKE_CYRILLIC,
        _ALIKE_GREEK,
        _ALIKE_LATIN,
        _ALIKE_ARMENIAN,
        _ALIKE_CHEROKEE,
        _ALIKE_LISU,
    )
    for shown, meant in zip(*pairs, strict=True)
}
"""Letters that are read as Latin ones, in lower case. A word of another script is folded the same way, so
that it is still found."""
_BADGES = {
    first + place: letter
    for first in (0x1F150, 0x1F170, 0x1F1E6)
    for place, letter in enumerate("abcdefghijklmnopqrstuvwxyz")
}
"""White letters in circles and squares, and those that flags are made of: symbols without decomposition."""
_FLAG = re.compile("(?<![🇦-🇿])[🇦-🇿]{2}(?![🇦-🇿])")


@cache
def _simplified() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


def _is_mark(point: int) -> bool:
    return any(first <= point <= last for first, last in (*_MARKS, *_IGNORABLE))


def folded_character(point: int) -> str:
    """What is left of one character: lower case, in its plainest form; empty for what only separates."""
    if point in _BADGES:
        return _BADGES[point]
    text = "".join(
        each
        for each in unicodedata.normalize("NFKD", chr(point))
        if not (_is_mark(ord(each)) or unicodedata.category(each)[0] in _GAPS)
    )
    text = text.casefold().translate(_ALIKE)
    return "".join(_simple(each) if each >= "\u2e80" else each for each in text)


def _simple(character: str) -> str:
    """The simplified character, also of one that is simplified to a traditional one."""
    for _ in range(CHAIN):
        after = _simplified().convert(character)
        if after == character:
            break
        character = after
    return character


class _Table(dict[int, str]):
    """Filled as characters come."""

    def __missing__(self, point: int) -> str:
        text = folded_character(point)
        if len(self) < MOST_REMEMBERED:
            self[point] = text
        return text


SEPARATOR = "\ud800"
"""Stands between texts that are looked at together: no text that came over the wire has it, and words of
lists end where it is."""

_table = _Table({ord(SEPARATOR): "\0"})


def without_flags(text: str) -> str:
    """With something that only separates in place of each flag: two of the letters that flags are made of.
    One or three of them are there to be read."""
    return _FLAG.sub("\u200b\u200b", text)


def fold(text: str) -> str:
    """The folded text."""
    return without_flags(text).translate(_table)


def fold_with_places(text: str) -> tuple[str, Sequence[int]]:
    """The folded text, and for each of its characters the index in `text` of what it came from."""
    parts = list(map(_table.__getitem__, map(ord, without_flags(text))))
    if all(len(part) == 1 for part in parts):
        return "".join(parts), range(len(parts))
    return "".join(parts), [place for place, part in enumerate(parts) for _ in part]


def _is_alphabetic(part: str) -> bool:
    return (
        bool(part)
        and part[-1].isalnum()
        and not ("\u0e00" <= part[-1] <= "\u0eff" or "\u1100" <= part[-1] <= "\u11ff" or part[-1] >= "\u2e80")
    )


class _Flags(dict[int, str]):
    """Filled as characters come."""

    def __missing__(self, point: int) -> str:
        flag = "1" if _is_alphabetic(_table[point]) else "0"
        if len(self) < MOST_REMEMBERED:
            self[point] = flag
        return flag


_flags = _Flags()


def alphabetic(text: str) -> str:
    """For each character 1, or 0: is it of a script whose words stand apart: a letter or figure that is
    neither Han, kana, Hangul nor Thai?"""
    return without_flags(text).translate(_flags)
