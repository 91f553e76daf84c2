"""The audit log is what was written: nobody changes or cuts it unseen, and it does not grow for ever."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control.audit.entry import DONE, LINE_BYTES, Place, Words, decode, parse_anchor
from control.audit.log import AuditLog, AuditUnavailable, segments
from control.audit.read import page
from control.audit.trail import Audit, Refusals, Trail
from control.audit.verify import verify
from control.settings import load_settings

SEGMENT = 1 << 12
STEP = 17
"""Of the bytes that are changed, in each run others."""


def words(number: int) -> Words:
    return Words(what="node.drain", via="admin", outcome=DONE, who="0123456789ab", ids={"n": number})


def log_in(folder: Path, kept: int = 1 << 20) -> AuditLog:
    return AuditLog(folder / "operators", kept, SEGMENT)


def test_what_is_young_is_pushed_out_by_nothing_and_what_is_old_by_size(tmp_path: Path) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    bounded = AuditLog(tmp_path / "operators", 3 * SEGMENT, SEGMENT, lambda: now[0], kept_s=86400)
    for number in range(200):
        bounded.append([words(number)])
    assert bounded.size() > 6 * SEGMENT
    assert verify(bounded.folder).entries == 200
    now[0] += timedelta(days=1, seconds=1)
    for number in range(200, 225):
        bounded.append([words(number)])
    assert bounded.size() <= 3 * SEGMENT
    found = verify(bounded.folder)
    assert (found.problem, found.entries < 200) == ("", True)


@pytest.fixture
def written(tmp_path: Path) -> AuditLog:
    """A hundred lines in several segments."""
    made = log_in(tmp_path)
    for number in range(100):
        made.append([words(number)])
    assert len(segments(made.folder)) > 3
    assert verify(made.folder).problem == ""
    return made


def edit(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def test_lines_of_one_batch_and_of_several_processes_are_one_chain(tmp_path: Path) -> None:
    one, other = log_in(tmp_path), log_in(tmp_path)
    places = [*one.append([words(1), words(2)]), *other.append([words(3)]), *one.append([words(4)])]
    assert [place.seq for place in places] == [1, 2, 3, 4]
    found = verify(one.folder, places)
    assert (found.problem, found.entries, found.last) == ("", 4, str(places[-1]))
    assert parse_anchor(found.last) == places[-1]


def test_a_changed_line_is_found_wherever_it_stands(written: AuditLog) -> None:
    for path in segments(written.folder):
        content = path.read_bytes()
        for number in range(content.count(b"\n")):

            def change(lines: list[bytes], number: int = number) -> list[bytes]:
                lines[number] = lines[number].replace(b"0123456789ab", b"0123456789ac")
                return lines

            edit(path, change)
            seq = int(path.stem) + number
            assert str(seq) in verify(written.folder).problem, f"line {seq}"
            path.write_bytes(content)
    assert verify(written.folder).problem == ""


def test_a_cut_middle_and_a_missing_segment_are_found(written: AuditLog) -> None:
    first, second, *_ = segments(written.folder)
    kept = first.read_bytes()
    edit(first, lambda lines: lines[:3] + lines[4:])
    assert "lines 4 to 4 are gone" in verify(written.folder).problem
    first.write_bytes(kept)
    edit(first, lambda lines: lines[:-1])
    assert "are gone" in verify(written.folder).problem
    first.write_bytes(kept)
    gone = second.read_bytes()
    second.unlink()
    assert "are gone" in verify(written.folder).problem
    second.write_bytes(gone)
    assert verify(written.folder).problem == ""


def test_a_cut_end_is_found_by_the_tail_and_by_an_anchor_kept_elsewhere(written: AuditLog) -> None:
    anchor = parse_anchor(verify(written.folder).last)
    edit(segments(written.folder)[-1], lambda lines: lines[:-2])
    assert "the end is cut off: lines 99 to at least 100" in verify(written.folder).problem
    for damage in (b"", b"garbage", bytes(96), b"\xff" * 96):
        (written.folder / "tail").write_bytes(damage)
        assert "tail is gone or damaged" in verify(written.folder).problem
    (written.folder / "tail").unlink()
    assert "tail is gone or damaged" in verify(written.folder).problem
    written.append([words(0)])
    assert verify(written.folder).problem == "", "who changes the tail too is found from elsewhere only"
    assert "the end is cut off" in verify(written.folder, [anchor]).problem


@pytest.fixture
def small(tmp_path: Path) -> AuditLog:
    """A dozen lines in three segments or more."""
    made = AuditLog(tmp_path / "operators", 1 << 20, 1 << 10)
    for number in range(12):
        made.append([words(number)])
    assert len(segments(made.folder)) >= 3
    return made


def test_any_byte_that_is_changed_or_cut_is_told_and_never_ends_the_check(small: AuditLog) -> None:
    for path in segments(small.folder):
        content = path.read_bytes()
        for at in range(random.randrange(STEP), len(content), STEP):
            for damaged in (content[:at], content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]):
                path.write_bytes(damaged)
                assert verify(small.folder).problem, (path.name, at, len(damaged))
            page(small.folder, 0, 100)
        path.write_bytes(content)
    for name in ("heads.jsonl", "tail"):
        content = (small.folder / name).read_bytes()
        for at in range(0, len(content), 3):
            for damaged in (content[:at], content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :]):
                (small.folder / name).write_bytes(damaged)
                verify(small.folder)
            (small.folder / name).write_bytes(content)
    assert verify(small.folder).problem == ""


def test_whatever_stands_in_its_files_the_check_ends_with_words(small: AuditLog) -> None:
    files = [*segments(small.folder), small.folder / "heads.jsonl", small.folder / "tail"]
    before = {path: path.read_bytes() for path in files}
    for path in files:
        lines = before[path].splitlines(keepends=True)
        for damaged in (
            b"", b"garbage", b"\n\n", b"\xff" * 50, b"[" * 100_000, b"{}\n", b'{"first":-1,"last":1e9}\n',
            b"".join(reversed(lines)), b"".join([*lines, *lines]), before[files[0]],
        ):  # fmt: skip
            path.write_bytes(damaged)
            found = verify(small.folder)
            assert found.problem or damaged == before[path] or path not in files[:-2], (
                path,
                damaged[:50],
            )
        path.unlink()
        verify(small.folder)
        path.mkdir()
        assert verify(small.folder).problem
        path.rmdir()
        path.write_bytes(before[path])
    (small.folder / "².jsonl").write_bytes(b"no segment")
    assert verify(small.folder).problem == ""
    assert verify(files[0]).problem, "a file in the place of the folder"


def test_an_older_copy_is_told_by_an_anchor_of_later(small: AuditLog, tmp_path: Path) -> None:
    shutil.copytree(small.folder, tmp_path / "copy")
    (later,) = small.append([words(1)])
    assert verify(tmp_path / "copy").problem == ""
    assert "the end is cut off" in verify(tmp_path / "copy", [later]).problem


def test_a_head_that_a_crash_left_half_is_written_again(small: AuditLog) -> None:
    heads = small.folder / "heads.jsonl"
    whole = heads.read_bytes()
    for cut in (30, len(whole.splitlines()[-1]) + 1, len(whole)):
        heads.write_bytes(whole[:-cut])
        AuditLog(small.folder, 1 << 20, 1 << 20).append([words(1)])
        assert heads.read_bytes() == whole
        assert verify(small.folder).problem == ""


def test_nothing_is_written_behind_what_is_damaged(small: AuditLog) -> None:
    last = segments(small.folder)[-1]
    for path, text in ((last, "no entry"), (small.folder / "heads.jsonl", "no head")):
        before = path.read_bytes()
        path.write_bytes(before + b"garbage\n")
        with pytest.raises(AuditUnavailable, match=f"{text}.*audit verify"):
            AuditLog(small.folder, 1 << 20, 1 << 10).append([words(1)])
        path.write_bytes(before)
    assert small.append([words(1)])[0].seq == 13


def test_a_line_is_bounded_and_says_what_was_left_out(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    log.append(
        [Words(what="x" * 5000, via="admin", outcome=DONE, ids={f"n{n}": "y" * 900 for n in range(99)})]
    )
    line = segments(log.folder)[0].read_bytes()
    assert len(line) < LINE_BYTES
    assert decode(line).ids.keys() == {"bytes", "sha256"}
    assert verify(log.folder).problem == ""


async def test_what_a_server_did_by_itself_is_a_line_of_the_operators(tmp_path: Path) -> None:
    audit = Audit(load_settings(None, {"server.data_dir": tmp_path}))
    audit.note("keys.rotate", {"files": ["server-00002.json"]})
    audit.note("keys.share", {}, 7)
    await audit.stop(0)
    found = page(tmp_path / "audit" / "operators", 0, 10)[0][::-1]
    assert [(line.what, line.via, line.outcome, line.ids, line.after) for line in found] == [
        ("keys.rotate", "start", DONE, {"files": ["server-00002.json"]}, None),
        ("keys.share", "start", DONE, {}, 7),
    ]


async def test_an_hour_of_refusals_costs_bounded_disk(tmp_path: Path) -> None:
    now = 0.0
    trail = Trail("refusals", AuditLog(tmp_path / "refusals", 1 << 20, 1 << 18))
    refusals = Refusals(trail, lambda: now)
    for _ in range(60):
        for _ in range(200):
            await refusals.tell(Words(what="node.drain", via="admin", outcome="refused", who="k"))
        now += 60
        await refusals.tick()
    await trail.stop()
    found = page(trail.files.folder, 0, 500)[0]
    assert len(found) == 120
    assert sum(int(str(entry.ids.get("times", 1))) for entry in found) == 60 * 200


def test_a_chain_that_was_written_anew_is_not_the_one_of_the_anchor(written: AuditLog) -> None:
    anchor = parse_anchor(verify(written.folder).last)
    for path in written.folder.iterdir():
        path.unlink()
    forged = AuditLog(written.folder, 1 << 20, SEGMENT)
    for number in range(101):
        forged.append([words(number + 1)])
    assert verify(written.folder).problem == ""
    assert "line 100 is not the one" in verify(written.folder, [anchor]).problem


def test_it_goes_on_behind_a_line_that_a_crash_left_half(written: AuditLog) -> None:
    path = segments(written.folder)[-1]
    with path.open("ab") as file:
        file.write(b'{"what":"node.dra')
    assert "has no end" in verify(written.folder).problem
    assert log_in(written.folder.parent).append([words(1)])[0].seq == 101
    assert verify(written.folder).problem == ""


def test_it_is_bounded_and_what_is_gone_leaves_its_hash(tmp_path: Path) -> None:
    bounded = log_in(tmp_path, kept=3 * SEGMENT)
    first = bounded.append([words(0)])[0]
    for number in range(1, 400):
        bounded.append([words(number)])
        assert bounded.size() <= 3 * SEGMENT
    found = verify(bounded.folder, [first])
    assert (found.problem, found.first + found.entries - 1) == ("", 400)
    assert found.first > 100
    edit(bounded.folder / "heads.jsonl", lambda lines: lines[:-4])
    assert "no head tells of them" in verify(bounded.folder).problem


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """The kernel refuses to let files grow beyond a size, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_takes_a_line_whole_or_not_at_all(
    tmp_path: Path, small_files: Callable[[int], None]
) -> None:
    log = AuditLog(tmp_path / "operators", 1 << 20, 1 << 16)
    log.append([words(0)])
    size = log.size()
    small_files(size + 20)
    with pytest.raises(AuditUnavailable, match="cannot be written"):
        log.append([words(1)])
    assert (log.size(), verify(log.folder).problem) == (size, "")
    small_files(1 << 16)
    assert log.append([words(1)])[0].seq == 2
    assert verify(log.folder).problem == ""


def test_many_processes_write_one_chain(tmp_path: Path) -> None:
    def write(count: int) -> None:
        own = log_in(tmp_path)
        for number in range(count):
            own.append([words(number)])
        os._exit(0)

    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write, args=(50,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    found = verify(tmp_path / "operators")
    assert (found.problem, found.entries) == ("", 200)


def test_a_log_that_is_written_meanwhile_is_no_damaged_one(tmp_path: Path) -> None:
    def write() -> None:
        own = log_in(tmp_path, kept=3 * SEGMENT)
        for _ in range(150):
            own.append([words(number) for number in range(8)])
            time.sleep(0.001)
        os._exit(0)

    log_in(tmp_path).append([words(0)])
    writer = multiprocessing.get_context("fork").Process(target=write)
    writer.start()
    problems = set()
    while writer.is_alive():
        problems.add(verify(tmp_path / "operators").problem)
    writer.join()
    assert problems == {""}


def test_pages_go_from_the_newest_to_the_oldest_and_find_what_is_asked(written: AuditLog) -> None:
    written.append([Words(what="api-key.create", via="cli", outcome=DONE, who="uid-0")])
    seen, before = [], 0
    while True:
        found, before = page(written.folder, before, 7)
        seen += [entry.seq for entry in found]
        if not before:
            break
    assert seen == list(range(101, 0, -1))
    assert [entry.seq for entry in page(written.folder, 0, 10, what="api-key.")[0]] == [101]
    assert [entry.seq for entry in page(written.folder, 0, 2, who="0123456789ab")[0]] == [100, 99]
    assert page(written.folder.parent / "apps", 0, 10) == ([], 0)


def test_an_entry_says_when_in_utc_and_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    (place,) = log.append([words(1)])
    line = segments(log.folder)[0].read_bytes()[:-1]
    entry = decode(line)
    assert entry.at.endswith("Z")
    assert b"before" not in line
    assert isinstance(place, Place)
    assert oct(segments(log.folder)[0].stat().st_mode & 0o777) == "0o600"
    assert oct(log.folder.stat().st_mode & 0o777) == "0o700"
