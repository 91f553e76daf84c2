"""One list of endpoints names one cluster: which, where its members are of two."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest

from control.coordination.etcd.calls import Calls
from control.coordination.etcd.channels import Member
from control.coordination.etcd.errors import EtcdUnavailable, OutcomeUnknown
from control.settings.build import build

OLD, NEW = 7, 8


class Asked:
    """Each member is of the cluster that `of` says, None: it is away; `written`: where writes went."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *of: int | None) -> None:
        self.of = list(of)
        self.fresh = [True] * len(of)
        self.written: list[int] = []
        endpoints = [f"127.0.0.1:{n + 1}" for n in range(len(of))]
        self.calls = Calls(build({"etcd": {"endpoints": endpoints}}).etcd)
        monkeypatch.setattr(Member, "connected", self._connected_of())
        monkeypatch.setattr(Member, "ask", self._ask_of())

    def begin_anew(self, number: int, cluster: int | None) -> None:
        self.of[number], self.fresh[number] = cluster, True

    async def read(self) -> None:
        await self.calls.call("KV/Range", cast(Any, None), repeat=True, within_s=0.3)

    async def write(self) -> None:
        await self.calls.call("KV/Txn", cast(Any, None), repeat=False, within_s=0.3)

    def _number(self, member: Member) -> int:
        return self.calls.members.all.index(member)

    def _connected_of(self) -> Any:
        async def connected(member: Member, within_s: float) -> None:
            number = self._number(member)
            if self.fresh[number]:
                member.cluster, self.fresh[number] = 0, False

        return connected

    def _ask_of(self) -> Any:
        async def ask(member: Member, method: str, *rest: Any) -> Any:
            await member.connected(1.0)
            if (cluster := self.of[number := self._number(member)]) is None:
                raise EtcdUnavailable("away")
            if method == "KV/Txn":
                self.written.append(number)
            return SimpleNamespace(header=SimpleNamespace(cluster_id=cluster))

        return ask


async def test_one_member_that_was_begun_anew_takes_no_cluster_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor when the others are away: etcd is away then, and there again with them."""
    etcd = Asked(monkeypatch, OLD, OLD, OLD)
    await etcd.read()
    etcd.begin_anew(0, NEW)
    await etcd.write()
    assert (etcd.calls.cluster, etcd.written) == (OLD, [1])
    etcd.begin_anew(1, None)
    etcd.begin_anew(2, None)
    with pytest.raises(EtcdUnavailable):
        await etcd.write()
    assert (etcd.calls.cluster, etcd.calls.up, etcd.written) == (OLD, False, [1])
    etcd.begin_anew(2, OLD)
    await etcd.write()
    assert (etcd.calls.cluster, etcd.calls.up, etcd.written) == (OLD, True, [1, 2])


@pytest.mark.parametrize(("size", "needed"), [(1, 1), (2, 2), (3, 2), (5, 3)])
async def test_a_snapshot_that_was_put_back_is_believed_where_most_members_have_it(
    size: int, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    etcd = Asked(monkeypatch, *[OLD] * size)
    await etcd.read()
    for number in range(size):
        etcd.begin_anew(number, None)
    for number in range(needed):
        etcd.begin_anew(number, NEW)
        if number + 1 < needed:
            with pytest.raises(EtcdUnavailable):
                await etcd.read()
            assert etcd.calls.cluster == OLD
    await etcd.read()
    assert etcd.calls.cluster == NEW


async def test_who_began_with_the_stranger_goes_over_when_most_are_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    etcd = Asked(monkeypatch, NEW, None, None)
    await etcd.read()
    assert etcd.calls.cluster == NEW
    for number in (1, 2):
        etcd.begin_anew(number, OLD)
        with contextlib.suppress(EtcdUnavailable):  # as the look at each member is
            await etcd.calls.once(etcd.calls.members.all[number], "Maintenance/Status", cast(Any, None), 1.0)
    await etcd.write()
    assert (etcd.calls.cluster, etcd.written) == (OLD, [1])


async def test_what_a_member_took_that_changed_under_the_call_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may be the first of a snapshot that is being put back."""
    etcd = Asked(monkeypatch, OLD, OLD, OLD)
    await etcd.read()
    etcd.of[0] = NEW
    with pytest.raises(OutcomeUnknown):
        await etcd.write()
    assert etcd.written == [0]
