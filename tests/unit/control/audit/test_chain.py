"""The audit log is what was written: nobody changes or cuts it unseen, and it does not grow for ever."""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from control.audit.entry import DONE, Place, Words, decode, parse_anchor
from control.audit.log import AuditLog, AuditUnavailable, segments
from control.audit.read import page
from control.audit.verify import verify

SEGMENT = 1 << 12


def words(number: int) -> Words:
    return Words(what="node.drain", via="admin", outcome=DONE, who="0123456789ab", ids={"n": number})


def log_in(folder: Path, kept: int = 1 << 20) -> AuditLog:
    return AuditLog(folder / "operators", kept, SEGMENT)


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
    (written.folder / "tail").unlink()
    assert verify(written.folder).problem == "", "who changes the tail too is found from elsewhere only"
    assert "the end is cut off" in verify(written.folder, [anchor]).problem


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
