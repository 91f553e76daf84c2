from collections.abc import Iterable, Sequence
from typing import Self

from typing_extensions import disjoint_base

LAYOUT: str

WIRES: tuple[str, ...]

@disjoint_base
class Swarm:
    """One process full of clients. Only `run` takes its time; times are CLOCK_MONOTONIC ns."""

    def __new__(
        cls,
        *,
        wire: str,
        gateways: Iterable[tuple[str, int]],
        count: int,
        tracked: int,
        first: int,
        slots: int = 1,
        deaf: int = 0,
        pair: bool = False,
        text_size: int = 60,
        suite: int = 3,
        key_id: int = 0,
        server_key: bytes = ...,
        ping_s: int = 0,
        run_id: int = 0,
        online_only: bool = False,
        core: bool = False,
        websocket: bool = False,
        zstd: bool = False,
        nap_us: int = 0,
    ) -> Self: ...
    def login_with(self, tokens: bytes, offsets: Sequence[int]) -> None: ...
    def forget_logins(self) -> None: ...
    def connect(self, to: int, window: int, churn: int = 0) -> None: ...
    def join(self, topic: bytes, to: int, window: int) -> None: ...
    def schedule(
        self,
        *,
        first: int,
        step: int,
        publisher: int,
        targets: Sequence[bytes],
        interval_ns: float,
        start: int,
        stop: int,
        hold_ns: int = 0,
    ) -> None: ...
    def window(self, begin: int, end: int) -> None: ...
    def clear_login_times(self) -> None: ...
    def set_nap(self, us: int) -> None: ...
    def run(self, until: int) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def histograms(self) -> dict[str, bytes]: ...
    @property
    def sending(self) -> bool: ...
    @property
    def busy(self) -> bool: ...
    def listen(self, listening: bool) -> None: ...
    def close_all(self) -> None: ...
