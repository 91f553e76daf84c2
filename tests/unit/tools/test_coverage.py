"""How lines of C become lines of the module they were made from, and how lines that did not run are named."""

from __future__ import annotations

from tools import coverage

WRITTEN = """\
static int before;
/* "crypto/zstd.pxd":7
 *     cdef int limit
 *     return limit             # <<<<<<<<<<<<<<
 */
static int f(void) {
  return 1;
}
/* #### Code section: late_includes ### */
static int utility(void) {
/* "crypto/zstd.pyx":12
 */
"""


def test_a_line_of_c_belongs_to_the_mark_above_it_until_the_section_ends() -> None:
    made_from = coverage.origins(WRITTEN)
    assert {number: made_from.get(number) for number in (1, 6, 7, 9, 10, 12)} == {
        1: None,
        6: ("crypto/zstd.pxd", 7),
        7: ("crypto/zstd.pxd", 7),
        9: None,
        10: None,
        12: ("crypto/zstd.pyx", 12),
    }


def test_lines_that_did_not_run_are_named_as_ranges() -> None:
    ran = {1: True, 2: False, 5: False, 6: True, 9: False}
    assert list(coverage.missing({"b.py": ran, "a.py": {1: True}})) == ["b.py: 2-5 9"]


def test_a_folder_counts_the_lines_of_its_files() -> None:
    rows = coverage.by_folder({"a/b.py": {1: True, 2: False}, "a/c.py": {1: True}, "d/__init__.py": {}})
    assert rows == {"a": [True, False, True]}
