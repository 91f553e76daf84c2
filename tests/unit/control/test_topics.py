"""Topics of a gateway: a list that is asked for is the truth, whatever begins or ends meanwhile."""

from __future__ import annotations

from control.node.topics import KeptTopics, ToldTopics


def test_kept_topics_begin_with_the_first_loop_and_end_with_the_last() -> None:
    topics = KeptTopics()
    assert topics.changed("r/a", 0, True)
    assert not topics.changed("r/a", 1, True)
    assert not topics.changed("r/a", 0, False)
    assert len(topics) == 1
    assert topics.changed("r/a", 1, False)
    found: list[list[str]] = []
    topics.tell(found.append)
    assert found == [[]]


def test_told_topics_keep_nothing_until_somebody_asks() -> None:
    asked: list[int] = []
    found: list[list[str]] = []
    topics = ToldTopics(lambda: asked.append(1))
    for name in ("u/ann", "u/ben", "r/hall"):
        assert topics.changed(name, 0, True)
    assert len(topics) == 3
    topics.tell(found.append)
    assert asked == [1]
    topics.changed("u/ann", 0, True)  # told
    topics.changed("u/cho", 0, True)  # begins meanwhile
    topics.changed("r/hall", 0, True)  # told
    topics.changed("u/ann", 0, False)  # ends meanwhile
    topics.changed("u/ben", 0, True)  # told
    assert found == []
    assert not topics.changed("", 0, False)
    assert [sorted(names) for names in found] == [["r/hall", "u/ben", "u/cho"]]
    assert len(topics) == 3


def test_who_asks_during_a_list_gets_the_next_one() -> None:
    asked: list[int] = []
    first: list[list[str]] = []
    second: list[list[str]] = []
    topics = ToldTopics(lambda: asked.append(1))
    topics.tell(first.append)
    topics.changed("u/ann", 0, True)
    topics.tell(second.append)
    topics.changed("", 0, False)
    assert first == [["u/ann"]]
    assert second == []
    assert asked == [1, 1]
    topics.changed("", 0, False)
    assert second == [[]]
