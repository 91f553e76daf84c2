"""What the C modules of this tree were built from.

The C modules share structs through their `.pxd` and `.h` files, and each is a library of its own: one that
was built before a struct changed would import silently and read garbage. So each carries a mark of every
shared file it was built with, `LAYOUT = layout()` (setup.py computes it), and no two modules of a process
may differ in one.
"""

from __future__ import annotations

from types import ModuleType

_known: dict[str, tuple[str, str]] = {}


def same_build(*modules: ModuleType) -> None:
    """Compares the marks of these modules with each other and with all that came before.

    Raises ImportError that names two modules and the file they saw in different versions.
    """
    found = dict(_known)
    for module in modules:
        for entry in module.LAYOUT.split():
            path, mark = entry.split("=")
            other, known = found.setdefault(path, (module.__name__, mark))
            if known != mark:
                raise ImportError(
                    f"{other} and {module.__name__} were built from different versions of {path};"
                    " run `make build`"
                )
    _known.update(found)
