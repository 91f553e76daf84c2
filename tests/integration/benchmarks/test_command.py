"""Each command of `qianwan bench` starts the real server, measures, writes JSON and leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
KEYS = {
    "scenario", "command", "connections", "size", "suite", "offered_per_s", "throughput_per_s", "k_mean",
    "latency_ms", "lost", "reordered", "duplicated", "generator_limited", "server", "machine", "commit",
}  # fmt: skip
SERVER_KEYS = {"processes", "cpu_s", "rss_bytes", "user_bytes_per_connection", "max_pause_ms", "stages"}


def bench(json_file: Path, *words: str) -> dict[str, Any]:
    """Run the command as a user would; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "program", "bench", *words, "--json", str(json_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    item: dict[str, Any] = json.loads(json_file.read_text())
    assert set(item) >= KEYS
    assert set(item["server"]) == SERVER_KEYS
    assert item["command"].startswith("qianwan bench " + words[0])
    return item


@pytest.mark.parametrize("suite", ["aegis128l", "chachapoly", "aesgcm"])
def test_fanout_reaches_every_member(tmp_path: Path, suite: str) -> None:
    words = ["fanout", "--members", "150", "--rate", "40", "--seconds", "1", "--suite", suite]
    item = bench(tmp_path / "f.json", *words)
    assert (item["lost"], item["reordered"], item["duplicated"], item["unexpected"]) == (0, 0, 0, 0)
    assert item["connections"] == 154
    assert item["latency_ms"]["p99"] > 0
    assert item["server"]["stages"]
    assert item["k_mean"] >= 1


@pytest.mark.parametrize("words", [["send"], ["relay"], ["relay", "--core"]], ids=" ".join)
def test_unicast_is_delivered_and_acknowledged(tmp_path: Path, words: list[str]) -> None:
    item = bench(tmp_path / "p.json", *words, "--connections", "60", "--rate", "200", "--seconds", "1")
    assert (item["lost"], item["reordered"], item["duplicated"], item["refused"]) == (0, 0, 0, 0)
    assert item["ack_latency_ms"]["p99"] > 0
    assert item["acked_per_s"] > 0
    assert ("half_rate" in item) == ("--core" not in words)


def test_members_who_stop_reading_are_not_judged(tmp_path: Path) -> None:
    words = ["fanout", "--members", "100", "--slow", "3", "--rate", "30", "--seconds", "1"]
    item = bench(tmp_path / "s.json", *words)
    assert item["lost"] == item["closed"] == 0
    assert item["connections"] == 107
    assert item["slow"] == 3


def test_members_who_stop_reading_cost_no_more_than_their_limit(tmp_path: Path) -> None:
    words = ["fanout", "--members", "100", "--slow", "3", "--rate", "300", "--seconds", "4", "--size", "500"]
    slow = bench(tmp_path / "s.json", *words)["slow_readers"]
    assert (slow["count"], slow["closed"]) == (3, 0)
    assert slow["dropped"] > 0, "the limit was reached"
    assert 0.75 * slow["limit_bytes"] < slow["bytes_per_reader_max"] <= slow["limit_bytes"]


def test_idle_counts_heartbeats_and_memory(tmp_path: Path) -> None:
    item = bench(tmp_path / "i.json", "idle", "--connections", "200", "--hold", "8", "--interval", "5")
    assert item["connected"] == item["still_connected"] == 200
    assert min(item["pings"], item["pongs"]) > 0
    under_way = abs(item["pings"] - item["pongs"])  # at the edges of the window, one of a connection
    assert under_way <= item["connected"]
    assert item["server"]["rss_bytes"] > 0


def test_several_gateways_share_a_room(tmp_path: Path) -> None:
    item = bench(
        tmp_path / "g.json", "fanout", "--members", "100", "--rate", "20", "--seconds", "1", "--gateways", "3"
    )
    assert item["lost"] == item["duplicated"] == 0
    assert item["server"]["processes"] >= 4


def test_a_storm_comes_in_at_the_rate_that_is_admitted(tmp_path: Path) -> None:
    words = ("--clients", "120", "--admitted-per-s", "20", "--within-s", "40")
    item = bench(tmp_path / "s.json", "storm", *words)
    assert (item["connections"], item["admitted_per_s"]) == (120, 20)
    assert item["back_s"] >= 1.5, "60 clients, 20 at once and 20 a second"
    assert item["deferred"] > 0


def test_handshakes_are_counted(tmp_path: Path) -> None:
    item = bench(tmp_path / "h.json", "handshake", "--seconds", "1", "--window", "8")
    assert item["handshakes"] > 10
    assert item["failed"] == 0
    assert item["per_server_core_per_s"] > 0


def test_compare_puts_a_peer_beside(tmp_path: Path) -> None:
    words = ["--members", "50", "--peers", "nats", "--rate", "20", "--seconds", "1"]
    item = bench(tmp_path / "c.json", "compare", *words)
    assert set(item["peers"]) == set(item["ratios"]) == {"nats"}
    assert set(item["peers"]["nats"]) >= KEYS
    assert item["peers"]["nats"]["lost"] == 0


def test_a_bad_suite_is_one_clear_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "program", "bench", "fanout", "--suite", "rot13"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "aegis128l" in done.stdout + done.stderr


def unloaded(json_file: Path, *words: str) -> dict[str, Any]:
    """The JSON of a command that puts no load on a server."""
    command = [sys.executable, "-m", "program", "bench", *words, "--json", str(json_file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    item: dict[str, Any] = json.loads(json_file.read_text())
    assert item["command"] == " ".join(["qianwan bench", *words])
    return item


def test_the_routing_table_is_measured(tmp_path: Path) -> None:
    item = unloaded(tmp_path / "f.json", "routes", "--topics", "100000")
    alone, shared = item["rounds"]
    assert alone["entries"] == 100_000
    assert shared["entries"] > 1.5 * alone["entries"]
    for row in (alone, shared):
        assert 16 < row["bytes_a_topic_table"] < 40, "the table itself has 0.6 MB"
        assert row["look_ups_per_cpu_s"] > 50_000
        assert row["death_of_a_gateway"]["cpu_ms_longest"] < 5


def test_the_arithmetic_of_a_cluster_is_what_its_simulation_finds(tmp_path: Path) -> None:
    """docs/SCALE.md stands on the arithmetic."""
    words = ["--users", "2000000", "--gateways", "20", "--ims", "4", "--sample", "30000"]
    item = unloaded(tmp_path / "f.json", "scale", *words)
    for name, counted in item["arithmetic"].items():
        assert item["simulation"][name] == pytest.approx(counted, rel=0.2), name
