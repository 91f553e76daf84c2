"""How Han characters sound, in Latin letters: for words that are spelled out or written with others of the
same sound. One reading for each character, the most common, for words and texts alike.
"""

from __future__ import annotations

import re
from functools import cache

from im_service.moderation.folding import MOST_REMEMBERED, fold_with_places


def _is_han(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff"


@cache
def _reader() -> dict[int, str]:
    from pypinyin import Style, lazy_pinyin  # 100 ms and 20 MB: only where a list asks for it

    class Table(dict[int, str]):
        def __missing__(self, point: int) -> str:
            character = chr(point)
            said = lazy_pinyin(character, style=Style.NORMAL)[0] if _is_han(character) else character
            if len(self) < MOST_REMEMBERED:
                self[point] = said
            return said

    return Table()


def sound(folded: str) -> str:
    """A folded text, read aloud."""
    return folded.translate(_reader())


def sound_with_places(text: str) -> tuple[str, list[int], list[bool]]:
    """A text read aloud; for each letter the index in `text` of what it came from, and whether a syllable or
    a character begins there."""
    table = _reader()
    letters, places, begins = [], [], []
    folded, origins = fold_with_places(text)
    for character, place in zip(folded, origins, strict=True):
        said = table[ord(character)]
        letters.append(said)
        places += [place] * len(said)
        begins += [True] + [False] * (len(said) - 1) if said else []
    return "".join(letters), places, begins


def is_han_alone(folded: str) -> bool:
    """Is this a word that sounds can stand for: two Han characters at least, and nothing else?"""
    return len(folded) >= 2 and all(_is_han(each) for each in folded)


has_latin = re.compile("[a-z]").search
"""Of a folded text: is something perhaps spelled out?"""
