"""Routes of which little is there before somebody asks for them: a table has hundreds, FastAPI takes
milliseconds for each, and a process that starts answers none of them yet.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi.routing import APIRoute
from starlette.routing import Match, compile_path
from starlette.types import Scope

_OF_PATH = ("path_regex", "path_format", "param_convertors")


class LateRoute(APIRoute):
    """A route that knows its path and its method. Whoever asks it for more - a request that it fits, or the
    document - makes it. It stands in the app's own list: an included router would make all of its routes
    anew at the first request to any.
    """

    def __init__(self, path: str, http: str, make: Callable[[], APIRoute]) -> None:
        self.path = path
        self.methods = {http}
        self._make = make
        self._head = path.partition("{")[0]

    def __getattr__(self, name: str) -> object:
        """What is not there yet."""
        if name in _OF_PATH:
            self.path_regex, self.path_format, self.param_convertors = compile_path(self.path)
        elif "endpoint" not in vars(self) and not name.startswith("__"):
            vars(self).update(vars(self._make()))
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(name) from None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not scope["path"].startswith(self._head):
            return Match.NONE, {}
        return super().matches(scope)
