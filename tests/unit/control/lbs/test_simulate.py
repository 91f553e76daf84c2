"""The simulation goes by the rules of answers: shares by capacity, and only those move who have to."""

from __future__ import annotations

import pytest

from control.lbs.simulate import LbsNode, known, simulate
from program.cli.admin.lbs_picture import picture

EVEN = [LbsNode(f"gw{number}", f"192.0.2.{number}", capacity=1000) for number in range(1, 6)]


def test_equal_nodes_share_alike_and_only_those_of_a_lost_or_to_an_added_node_move() -> None:
    found = simulate(known(EVEN), 3000, lose="gw2")
    assert all(abs(one.now - one.fair) < 0.04 for one in found.nodes[:5])
    lost = next(one for one in found.nodes if one.node == "gw2")
    assert (lost.without, found.moved_by_loss) == (0.0, lost.now)
    added = next(one for one in found.nodes if one.node == "gw2+")
    assert added.with_added == found.moved_by_addition > 0.1
    assert found.others_moved_by_loss == found.others_moved_by_addition == 0.0


def test_shares_follow_capacity_and_those_who_come_fill_nodes_evenly() -> None:
    nodes = [LbsNode("big", "192.0.2.1", capacity=6000), LbsNode("small", "192.0.2.2", capacity=2000)]
    found = simulate(known(nodes), 4000)
    assert found.lost == "big"
    assert abs(found.nodes[0].now - 0.75) < 0.04
    assert sum(one.filled for one in found.nodes[:2]) == 4000
    assert abs(found.nodes[0].filled / 6000 - found.nodes[1].filled / 2000) < 0.1


def test_a_draining_node_and_one_of_another_zone_get_nobody() -> None:
    nodes = [
        LbsNode("a", "192.0.2.1", zone="east", capacity=1000),
        LbsNode("b", "192.0.2.2", zone="east", capacity=1000, draining=True),
        LbsNode("c", "192.0.2.3", zone="west", capacity=1000),
        LbsNode("d", "192.0.2.4", zone="north", capacity=1000),
    ]
    found = simulate(known(nodes), 200, zone="east", near={"east": ["north"]})
    assert [one.now for one in found.nodes[:4]] == [1.0, 0.0, 0.0, 0.0]
    assert [one.without for one in found.nodes[:4]] == [0.0, 0.0, 0.0, 1.0], "the zone next to it"


def test_what_cannot_be_simulated_is_said() -> None:
    with pytest.raises(ValueError, match="no gateway takes connections"):
        simulate(known([LbsNode("a", "192.0.2.1", draining=True)]), 100)
    with pytest.raises(ValueError, match="no node nobody"):
        simulate(known(EVEN), 100, lose="nobody")


def test_the_picture_is_a_page_by_itself_and_no_name_breaks_it() -> None:
    page = picture(simulate(known([LbsNode("<b>&", "192.0.2.1", capacity=10), *EVEN]), 200))
    assert page.count("<rect") == 3 * 7
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;" in page
    assert "http" not in page
    assert "script" not in page
