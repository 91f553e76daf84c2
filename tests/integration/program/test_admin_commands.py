"""The verbs of operators ask the admin API, say clearly what is wrong, and leave their lines in the log."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server_process import ServerProcess, program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server"), admin="127.0.0.1:0") as running:
        yield running


def ran(server: ServerProcess, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """With the address and the key that the data folder tells."""
    return program(*words, "--data-dir", str(server.data_dir), **environment)


def told(server: ServerProcess, *words: str) -> dict[str, object]:
    done = ran(server, *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_what_commands_change_is_audited_and_the_log_is_verified(server: ServerProcess) -> None:
    made = ran(server, "api-key", "create", "shop").stdout.split("_")[1]
    assert ran(server, "api-key", "revoke", made).returncode == 0
    assert ran(server, "api-key", "revoke", "000000000000").returncode == 1
    assert ran(server, "keys", "rotate", "token").returncode == 0
    entries = told(server, "audit", "list")["entries"]
    assert isinstance(entries, list)
    ends = [(line["what"], line["outcome"], line.get("ids", {}).get("key")) for line in entries]
    assert ends[0][:2] == ("keys.rotate-token", "done")
    assert ("api-key.create", "done", made) in ends
    assert ("api-key.revoke", "done", made) in ends
    assert ("api-key.revoke", "failed ApiKeyError", "000000000000") in ends
    assert {line["via"] for line in entries} == {"cli", "start"}
    table = ran(server, "audit", "list", "--what", "keys.").stdout
    assert table.count("keys.rotate-token") == 1, "a change that ended is one row"
    verified = ran(server, "audit", "verify")
    assert verified.returncode == 0
    assert "operators: 9 lines as they were written, anchor operators:9:" in verified.stdout


def test_a_line_that_was_changed_is_named_and_makes_the_exit_code_1(server: ServerProcess) -> None:
    (segment,) = (server.data_dir / "audit" / "operators").glob("0*.jsonl")
    kept = segment.read_bytes()
    segment.write_bytes(kept.replace(b"shop", b"shap").replace(b"uid-", b"uie-", 1))
    verified = ran(server, "audit", "verify")
    segment.write_bytes(kept)
    assert (verified.returncode, "was changed" in verified.stderr) == (1, True)
    anchor = ran(server, "audit", "verify").stdout.split("anchor ")[1].split()[0]
    assert ran(server, "audit", "verify", "--anchor", anchor).returncode == 0
    later = anchor.replace(":9:", ":10:")
    cut = ran(server, "audit", "verify", "--anchor", later)
    assert (cut.returncode, "cut off" in cut.stderr) == (1, True)
    assert ran(server, "audit", "verify", "--anchor", "nonsense").returncode == 2


def test_refusals_and_a_missing_server_are_told_in_a_line(server: ServerProcess) -> None:
    viewer = ran(server, "api-key", "create", "eyes", "--role", "viewer").stdout.strip()
    refused = ran(server, "audit", "list", "--api-key", viewer)
    assert (refused.returncode, "lacks the role security-admin" in refused.stderr) == (1, True)
    away = ran(server, "audit", "list", "--url", "http://127.0.0.1:9")
    assert (away.returncode, "nobody answers" in away.stderr) == (3, True)
    assert len(away.stderr.splitlines()) == 1
    bare = ran(server, "nodes", "--url", server.admin_url.removeprefix("http://"))
    assert bare.returncode == 0, bare.stderr
    assert ran(server, "nodes", "--role", "gatway").returncode == 2
    wrong = ran(server, "audit", "list", "--trail", "no/such")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)


def test_a_name_is_a_name_and_no_markup(server: ServerProcess) -> None:
    """It would end the list of all keys, in which an operator looks for the one to revoke."""
    for words in (("create", "[/x]"), ("create", "[red]y[/]", "--cluster")):
        assert ran(server, "api-key", *words).returncode == 0
    listed = ran(server, "api-key", "list").stdout + ran(server, "api-key", "list", "--cluster").stdout
    assert "[/x]" in listed
    assert "[red]y[/]" in listed
    for name in ("a\u202eb", "a\x9bb", "a\u2028b"):
        assert ran(server, "api-key", "create", name, "--cluster").returncode == 2


def test_a_key_is_told_to_no_proxy_of_the_environment(server: ServerProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.2)
        there = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        assert ran(server, "nodes", http_proxy=there, HTTP_PROXY=there, no_proxy="").returncode == 0
        with pytest.raises(TimeoutError):
            proxy.accept()


def test_routes_check_compares_and_says_so(server: ServerProcess) -> None:
    found = told(server, "routes", "check")
    assert (found["equal"], found["pairs"], found["silent"]) == (True, [], [])
    table = ran(server, "routes", "check")
    assert "equal on every pair" in table.stdout
    assert "registered" in table.stdout


def test_lbs_explains_an_answer_and_simulates_a_loss(server: ServerProcess, tmp_path: Path) -> None:
    found = told(server, "lbs", "explain", "--user", "ann", "--device", "d", "--address", "192.0.2.7")
    assert (found["address"], found["left_out"]) == ("192.0.2.7", {})
    shown = ran(server, "lbs", "explain", "--device", "d", "--zone", "east").stdout
    assert "the client: zone east" in shown
    assert "another zone" in shown
    refused = ran(server, "lbs", "explain", "--address", "nowhere")
    assert (refused.returncode, "nowhere" in refused.stderr) == (2, True)
    nodes, page = tmp_path / "nodes.json", tmp_path / "spread.html"
    printed = json.loads(ran(server, "lbs", "simulate", "--print-nodes").stdout)
    one = printed["nodes"][0]
    printed["nodes"] = [{**one, "node": f"gw{number}", "host": f"192.0.2.{number}"} for number in range(4)]
    nodes.write_text(json.dumps(printed))
    words = ("lbs", "simulate", "--nodes", str(nodes), "--devices", "500", "--html", str(page))
    simulated = ran(server, *words)
    assert "0.0 % that need not" in simulated.stdout, simulated.stderr
    assert page.read_text().startswith("<!doctype html>")
    nodes.write_text('{"nodes": [{"nod": 1}]}')
    assert (ran(server, *words).returncode, "nod" in ran(server, *words).stderr) == (1, True)


def test_keys_of_the_cluster_have_their_verbs(server: ServerProcess) -> None:
    made = ran(server, "api-key", "create", "night", "--role", "operator", "--ttl", "60", "--cluster").stdout
    key = made.split("_")[1]
    assert ran(server, "drain", "node-9", "--api-key", made.strip()).stderr.startswith("Not found")
    changed = told(server, "api-key", "change", key, "--role", "viewer", "--name", "day")
    assert (changed["name"], changed["roles"], changed["scopes"]) == ("day", ["viewer"], [])
    both = told(server, "api-key", "change", key, "--scope", "read", "--scope", "tokens")
    assert (both["roles"], both["scopes"]) == (["viewer"], ["read", "tokens"]), "each stays for the other"
    fewer = told(server, "api-key", "change", key, "--scope", "none")
    assert (fewer["roles"], fewer["scopes"]) == (["viewer"], [])
    ends = changed["expires_at"]
    assert isinstance(ends, int)
    assert 0 < ends - time.time() <= 60, "it ends when it was to end"
    assert "lacks the role" in ran(server, "drain", "node-9", "--api-key", made.strip()).stderr
    assert told(server, "api-key", "revoke", key, "--cluster")["usable"] is False
    listed = ran(server, "api-key", "list", "--cluster").stdout
    (line,) = [line for line in listed.splitlines() if key in line]
    (first,) = [line for line in listed.splitlines() if " first " in line]
    assert ("revoked" in line, "cluster" in line, "cluster" in first) == (True, True, True)


def test_settings_hold_while_the_server_runs(server: ServerProcess) -> None:
    assert told(server, "settings", "set", "log.level=debug", "limits.key_failures=4")["values"] == {
        "log.level": "debug", "limits.key_failures": 4,
    }  # fmt: skip
    server.wait_for(lambda: '"live settings"' in server.log(), "taken over")
    changed = told(server, "settings", "set", "limits.key_failures=")
    assert changed["values"] == {"log.level": "debug"}
    history = changed["history"]
    assert isinstance(history, list)
    assert history[-1]["values"]["limits.key_failures"] == 4
    wrong = ran(server, "settings", "set", "log.lvel=debug")
    assert (wrong.returncode, "did you mean log.level" in wrong.stderr) == (2, True)
    assert "auth: a table of settings" in ran(server, "settings", "set", "auth=5").stderr
    assert ran(server, "settings", "reset").returncode == 0
    assert told(server, "settings", "show")["values"] == {}


def test_a_gateway_is_drained_and_the_cluster_is_told_who_may_come_in(server: ServerProcess) -> None:
    nodes = told(server, "nodes")["nodes"]
    assert isinstance(nodes, list)
    (node,) = nodes
    assert (node["name"], node["draining"], node["drain"]) == ("node-1", False, None)
    assert "node-1" in ran(server, "nodes").stdout
    last = ran(server, "drain", "node-1")
    assert (last.returncode, "the last gateway" in last.stderr) == (1, True)
    wrong = ran(server, "drain", "node-1", "--rate", "nan", "--force")
    assert (wrong.returncode, "no numbers" in wrong.stderr) == (2, True)
    assert told(server, "drain", "node-1", "--rate", "7", "--force")["rate"] == 7
    assert told(server, "nodes", "node-1")["draining"] is True
    assert ran(server, "undrain", "node-1").returncode == 0
    assert told(server, "drain", "node-1", "--status")["drain"] is None
    missing = ran(server, "drain", "node-9")
    assert (missing.returncode, "no node node-9" in missing.stderr) == (1, True)
    assert told(server, "storm", "--admit", "known")["admit"] == "known"
    stepped = told(server, "storm", "--known", "500")
    assert (stepped["admit"], stepped["known_per_s"], stepped["new_per_s"]) == ("known", 500, None)
    stepped = told(server, "storm", "--new", "1")
    assert (stepped["admit"], stepped["known_per_s"], stepped["new_per_s"]) == ("known", 500, 1)
    assert ran(server, "storm", "--end").returncode == 0
    assert told(server, "storm")["admit"] == "all"
    nothing = ran(server, "storm", "--end")
    assert (nothing.returncode, "Nothing was ordered" in nothing.stderr) == (1, True)


def test_connections_and_traces_have_their_verbs(server: ServerProcess) -> None:
    assert told(server, "conns")["conns"] == []
    missing = ran(server, "kick", "1-0000000000000001")
    assert (missing.returncode, "not there" in missing.stderr) == (1, True)
    assert ran(server, "trace", "ann", "--for", "30").returncode == 0
    assert re.search(r"ann .*\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ran(server, "trace").stdout)
    assert ran(server, "trace", "ann", "--end").returncode == 0
    assert told(server, "trace")["traces"] == []
