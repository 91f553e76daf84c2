"""Three different questions: is the process alive, has it started, may it take traffic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Health:
    """`checks` are cheap functions that answer None when all is well, else the reason why not.

    `remarks` are like them, and change nothing of the answer.
    Liveness asks no dependency: a database that is away must not restart every process of a cluster.
    """

    checks: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    remarks: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    started: bool = False
    draining: bool = False

    def report(self) -> dict[str, str]:
        """Check -> "ok" or the reason. Includes the process's own state."""
        answers = {name: check() or "ok" for name, check in self.checks.items()}
        if not self.started:
            answers["process"] = "starting"
        elif self.draining:
            answers["process"] = "draining"
        else:
            answers["process"] = "ok"
        return answers

    def remarked(self) -> dict[str, str]:
        """What is worth a look."""
        return {name: text for name, remark in self.remarks.items() if (text := remark())}

    def ready(self) -> bool:
        return all(answer == "ok" for answer in self.report().values())
