"""Somebody who speaks all the time and watches how far an endpoint is, while its owners come and go."""

from __future__ import annotations

import asyncio
import urllib.error
from collections import defaultdict

from im_service.outbox.cursors import parse
from im_service.storage.event_records import Place
from tests.support.im_cluster import Cluster
from tests.support.webhook_receiver import Receiver

TALKS = 3
AGAIN_S, LOOK_S = 0.1, 0.05


class Watch:
    """`run` until cancelled. `said`: texts that were acknowledged, by conversation, in order."""

    def __init__(self, cluster: Cluster, receiver: Receiver) -> None:
        self._cluster, self._receiver = cluster, receiver
        self.said: dict[str, list[str]] = defaultdict(list)
        self.places: list[Place] = []
        self._stop = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(TALKS):
                group.create_task(self._speak(f"to{number}"))
            group.create_task(self._look())

    def stop(self) -> None:
        self._stop = True

    async def _speak(self, other: str) -> None:
        number = 0
        while not self._stop:
            text = f"{other} {number}"
            body: dict[str, object] = {"sender": "ann", "target": f"u/{other}", "body": {"text": text}}
            body["client_id"] = f"{other}-{number}"
            try:
                status, _ = await self._cluster.http("POST", "/v1/messages", body)
            except OSError:
                status = 0
            if status != 200:  # asked again under its id until it is acknowledged
                await asyncio.sleep(AGAIN_S)
                continue
            self.said[f"s/ann:{other}"].append(text)
            number += 1
            await asyncio.sleep(AGAIN_S)

    async def _look(self) -> None:
        """Where the place of the endpoint is, again and again."""
        while not self._stop:
            try:
                groups = (await self._cluster.http("GET", "/v1/events/groups"))[1]["groups"]
            except (OSError, urllib.error.HTTPError):
                groups = []
            mine = [each for each in groups if each["group"].startswith("endpoint.")]
            self.places += [parse(each["cursor"]).place for each in mine]
            await asyncio.sleep(LOOK_S)

    @property
    def last(self) -> int:
        """How many are acknowledged now."""
        return sum(map(len, self.said.values()))

    @property
    def taken(self) -> dict[str, list[str]]:
        """Texts as the receiver had each first."""
        first: dict[str, dict[str, str]] = defaultdict(dict)
        for event in self._receiver.taken:
            first[event["subject"]].setdefault(event["event_id"], event["data"]["body"]["text"])
        return {subject: list(texts.values()) for subject, texts in first.items()}

    def whole(self) -> bool:
        return {
            name: self.taken.get(name, [])[: len(texts)] for name, texts in self.said.items()
        } == self.said
