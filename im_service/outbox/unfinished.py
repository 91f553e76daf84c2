"""What follows commits and is not done yet, in the memory of one process."""

from __future__ import annotations

from collections.abc import Callable


class Open:
    """Something that was begun, in one part or several; over when as many are done."""

    __slots__ = ("_all", "_left", "_number")

    def __init__(self, all: dict[int, Open], number: int) -> None:
        self._all = all
        self._number = number
        self._left = 1

    def more(self) -> Callable[[], None]:
        """Another part. -> what is called when it is done"""
        self._left += 1
        return self.done

    def done(self) -> None:
        """One part is."""
        self._left -= 1
        if not self._left:
            del self._all[self._number]


class Unfinished:
    """Numbers in order of the beginning: 1, 2, 3 ..."""

    __slots__ = ("_open", "begun")

    def __init__(self) -> None:
        self.begun = 0
        self._open: dict[int, Open] = {}  # in order of the numbers

    def begin(self) -> Open:
        self.begun += 1
        self._open[self.begun] = found = Open(self._open, self.begun)
        return found

    def passed(self) -> None:
        """Something that came and was done at once."""
        self.begun += 1

    @property
    def finished(self) -> int:
        """Everything up to this number is."""
        return next(iter(self._open), self.begun + 1) - 1
