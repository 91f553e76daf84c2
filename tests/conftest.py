"""What all tests share."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from typing import Any

import hypothesis.core
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.support.postgres_server import PostgresServer

# How long an example takes says something of the machine, not of the code; a failure prints how to repeat it.
# On CI the same code meets the same examples; developers explore.
settings.register_profile("qianwan", deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI")))
settings.load_profile("qianwan")

SEED = pytest.StashKey[int]()
YOUNG = 100_000
"""New objects between two looks at the young ones: with Python's 700 they take a fifth of what tests cost."""
CROWDS = tuple(f"tests/adversity/server/test_{name}.py" for name in ("kill", "drain", "ten_thousand"))
LONG = (
    "tests/adversity/server/",
    "tests/contract/messages/",
    "tests/fuzz/test_fuzz_short.py",
    "tests/integration/benchmarks/",
    "tests/integration/control/",
    "tests/integration/im_service/",
    "tests/integration/program/",
    "tests/integration/sdk/test_sdk_talks.py",
    "tests/integration/server/",
    "tests/integration/workers/",
    "tests/native/gateway_core/test_fanout.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """One seed for the whole run, in every worker."""
    given = getattr(config, "workerinput", {}).get("seed") or os.environ.get("QIANWAN_SEED")
    config.stash[SEED] = int(given or random.SystemRandom().randrange(1, 1 << 32))
    hypothesis.core.global_force_seed = config.stash[SEED]
    gc.set_threshold(YOUNG)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["seed"] = node.config.stash[SEED]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test draws depends on the run's seed and its name, not on what ran before it."""
    random.seed(f"{item.config.stash[SEED]} {item.nodeid}")


class Lanes(LoadFileScheduling):
    """A module stays in one lane; those that bring crowds share one, where they do not measure each other."""

    def _split_scope(self, nodeid: str) -> str:
        return "crowds" if nodeid.startswith(CROWDS) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(
        f"seed {config.stash[SEED]}: QIANWAN_SEED={config.stash[SEED]} repeats its choices"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first: what is left at the end of a run is short, so no lane waits for another."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_collection_finish() -> None:
    """Thousands of tests and the modules around them stay to the end: no collection looks at them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests of a lane; each makes schemas of its own."""
    with PostgresServer() as server:
        yield server
