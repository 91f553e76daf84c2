"""An etcd that refuses each write at once: nobody asks it in a circle."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest

from control.coordination.documents import DocumentsUnavailable
from control.coordination.etcd import documents, registration
from control.coordination.etcd.documents import EtcdDocuments
from control.coordination.etcd.errors import EtcdUnavailable, OutcomeUnknown
from control.coordination.etcd.registration import Registration
from control.settings.build import build


class Unwell:
    """`etcdserver: unhealthy cluster`, of which nobody knows whether the write was made."""

    section = build({"etcd": {"endpoints": ["127.0.0.1:1"]}}).etcd

    def __init__(self) -> None:
        self.asked = 0

    async def txn(self, *words: Any) -> None:
        self.asked += 1
        raise OutcomeUnknown("unhealthy cluster")

    async def get(self, key: bytes) -> None:
        return None


async def test_a_document_is_written_a_few_times_a_second_until_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    etcd = Unwell()
    monkeypatch.setattr(documents, "WITHIN_S", 0.5)
    with pytest.raises(DocumentsUnavailable):
        await EtcdDocuments(cast(Any, etcd)).put("a", b"1", 0)
    assert 1 <= etcd.asked <= 0.5 / (documents.PAUSE_S / 2) + 1


@pytest.mark.parametrize(("expected", "known"), [(0, "does not tell"), (None, "was not changed")])
async def test_nobody_knows_of_a_change_only_once_it_was_sent(
    expected: int | None, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a revision the one that is there is read first."""

    class Silent(Unwell):
        async def txn(self, *words: Any) -> None:
            await asyncio.Event().wait()

        async def get(self, key: bytes) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(documents, "WITHIN_S", 0.1)
    with pytest.raises(DocumentsUnavailable, match=known):
        await EtcdDocuments(cast(Any, Silent())).put("a", b"1", expected)


async def test_a_node_id_is_asked_for_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    etcd, began = Unwell(), time.monotonic()
    monkeypatch.setattr(registration, "TRIES", 5)
    with pytest.raises(EtcdUnavailable):
        await Registration(cast(Any, etcd), "a")._make(1, 0, 1, 0)
    assert etcd.asked == 5
    assert time.monotonic() - began >= 5 * registration.PAUSE_S / 2
