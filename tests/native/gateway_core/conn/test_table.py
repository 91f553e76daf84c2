"""A connection's id names it alone, its slot comes back wiped, and the states always add up."""

from __future__ import annotations

import random

import pytest
from gateway_core.conn.states import EVENT_NAMES, LIFE, STATE_NAMES
from tests.native.gateway_core.faces.conn import Crowd

from control.gateway.conn_ids import loop_of, slot_of
from frame.constants import REKEY_GRACE_SECONDS, REKEY_RECORDS, REKEY_SECONDS

FREE, FIRST, LIVE, DOOMED = (STATE_NAMES.index(name) for name in ("free", "first", "live", "doomed"))
OPENED, RELEASED = EVENT_NAMES.index("opened"), EVENT_NAMES.index("released")


def test_an_id_names_loop_generation_and_slot() -> None:
    crowd = Crowd(loop=3)
    first, second = crowd.new(), crowd.new()
    assert (first, second) == (3 << 56 | 1 << 32 | 0, 3 << 56 | 1 << 32 | 1)
    assert (loop_of(first), slot_of(first), slot_of(second)) == (3, 0, 1), "as the control plane reads it"
    assert not crowd.known(first + (1 << 56)), "another loop's"
    assert not crowd.known(first + (1 << 32)), "of a later generation"
    assert not crowd.known(3 << 56 | 1 << 32 | 2), "not yet used"
    assert not crowd.known(3 << 56 | 1 << 32 | 0xFFFFFFFF)


def test_a_released_id_is_dead_for_ever_and_its_slot_is_clean() -> None:
    crowd = Crowd(cap=1)
    seen = set()
    for _ in range(300):
        conn = crowd.new()
        assert conn not in seen
        assert crowd.blank(conn)
        assert crowd.new() is None, "full"
        crowd.scribble(conn)
        crowd.release(conn)
        seen.add(conn)
        assert not any(crowd.known(old) for old in seen)
    assert 0 not in seen


def test_states_and_live_connections_add_up() -> None:
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    crowd, model = Crowd(cap=200), {}
    for _ in range(5000):
        if model and rng.random() < 0.7:
            conn = rng.choice(list(model))
            event = rng.randrange(len(EVENT_NAMES))
            if event == RELEASED:
                crowd.release(conn)
                del model[conn]
                continue
            expected = LIFE[model[conn]].get(event)
            assert crowd.move(conn, event) == (expected is not None), f"seed {seed}"
            model[conn] = model[conn] if expected is None else expected
            assert crowd.state(conn) == model[conn]
        elif (conn := crowd.new()) is not None:
            model[conn] = FIRST
    counted = crowd.by_state()
    for state in range(1, len(STATE_NAMES)):
        assert counted[state] == list(model.values()).count(state), f"seed {seed}"
    assert crowd.counts()["live"]["connections"] == len(model)


def test_a_key_is_old_at_its_16384th_record_or_an_hour_after_its_quarter() -> None:
    crowd = Crowd()
    conn = crowd.login(b"ann")
    crowd.key_begins(conn, 1, 100)
    assert not crowd.key_is_old(conn, 100, REKEY_RECORDS - 2)
    assert crowd.key_is_old(conn, 100, 1)
    for begun in (1, 59, 60, 65_536 * 60 - 1):  # minutes wrap around
        crowd.key_begins(conn, 0, begun)
        assert not crowd.key_is_old(conn, begun + REKEY_SECONDS + REKEY_GRACE_SECONDS)
        assert crowd.key_is_old(conn, begun + REKEY_SECONDS + REKEY_GRACE_SECONDS + 120)


@pytest.mark.parametrize("state", range(1, len(STATE_NAMES)), ids=STATE_NAMES[1:])
def test_no_state_is_a_dead_end_and_none_is_entered_from_nowhere(state: int) -> None:
    assert LIFE[state][RELEASED] == FREE
    assert state == DOOMED or LIFE[state][EVENT_NAMES.index("judged")] == DOOMED
    reached, edge = {FIRST}, {FIRST}
    while edge:
        edge = {to for at in edge for to in LIFE[at].values()} - reached - {FREE}
        reached |= edge
    assert state in reached


def test_the_table_at_the_head_of_the_file_is_the_table_that_runs() -> None:
    from tests.support.tree import ROOT

    head = (ROOT / "gateway_core/conn/states.pyx").read_text().split('"""', 2)[1]
    rows = [line for line in head.splitlines() if line.startswith("    ")]
    columns = [
        name for line in head.splitlines() if line.strip().startswith("opened") for name in line.split()
    ]
    title = next(line for line in head.splitlines() if line.strip().startswith("opened"))
    assert columns == EVENT_NAMES
    starts = [title.index(name) for name in columns] + [len(title) + 20]
    found = {}
    for row in rows:
        name = row.split()[0]
        if name.lower() not in STATE_NAMES:
            continue
        cells = [row[starts[i] : starts[i + 1]].strip() for i in range(len(columns))]
        found[name.lower()] = {columns[i]: cell.lower() for i, cell in enumerate(cells) if cell}
    running = {
        STATE_NAMES[state]: {EVENT_NAMES[event]: STATE_NAMES[to] for event, to in moves.items()}
        for state, moves in LIFE.items()
    }
    assert found == running


def test_only_a_login_makes_a_connection_live_and_a_resume_a_session_that_was() -> None:
    ways = {(at, event) for at, moves in LIFE.items() for event, to in moves.items() if to == LIVE}
    assert ways == {
        (STATE_NAMES.index("asked"), EVENT_NAMES.index("login")),
        (STATE_NAMES.index("parked"), EVENT_NAMES.index("resumed")),
    }
    assert {at for at, moves in LIFE.items() if OPENED in moves} == {FREE}


def test_who_waits_for_a_login_stands_in_the_order_of_arrival() -> None:
    rng = random.Random(4)
    crowd, waiting = Crowd(), []
    for _ in range(2000):
        if waiting and rng.random() < 0.48:
            gone = waiting.pop(rng.choice([0, -1, rng.randrange(len(waiting))]))
            crowd.wait_no_more(gone)
            crowd.release(gone)
        else:
            waiting.append(crowd.new())
            crowd.wait(waiting[-1])
        assert crowd.before_login() == waiting
