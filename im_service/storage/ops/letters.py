"""Events that endpoints of the copy did not take: where they lie in the log."""

from im_service.storage.ops.tx import Op, first, rows, run
from im_service.storage.records import DeadLetter


def bury(letter: DeadLetter) -> Op[int]:
    yield from run(
        "INSERT INTO dead_letter (endpoint, event_id, kind, subject, before, reason, time_ms)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT (endpoint, event_id) DO UPDATE SET reason = excluded.reason,"
        " time_ms = excluded.time_ms",
        letter.endpoint, letter.event_id, letter.kind, letter.subject, letter.before, letter.reason,
        letter.time_ms,
    )  # fmt: skip
    return (yield from count(letter.endpoint))


def count(endpoint: str) -> Op[int]:
    found = yield from first("SELECT count(*) FROM dead_letter WHERE endpoint = $1", endpoint)
    assert found is not None
    return int(found[0])


def listed(endpoint: str, after: int, limit: int) -> Op[list[tuple[int, DeadLetter]]]:
    found = yield from rows(
        "SELECT id, endpoint, event_id, kind, subject, before, reason, time_ms FROM dead_letter"
        " WHERE endpoint = $1 AND id > $2 ORDER BY id LIMIT $3",
        endpoint, after, limit,
    )  # fmt: skip
    return [(row[0], DeadLetter(*row[1:])) for row in found]


def drop(endpoint: str, event_id: str | None) -> Op[None]:
    if event_id is None:
        yield from run("DELETE FROM dead_letter WHERE endpoint = $1", endpoint)
    else:
        yield from run("DELETE FROM dead_letter WHERE endpoint = $1 AND event_id = $2", endpoint, event_id)
