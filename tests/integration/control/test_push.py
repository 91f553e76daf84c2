"""A server that pushes: docs/PUSH.md as it stands there, and APNs asked by a real process."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import qianwan

from control.settings.keys import walk
from control.settings.push_section import PushSection
from tests.support.im_world import until
from tests.support.push_vendor import Asked, Does, Hang, PushVendor, Say
from tests.support.pushes import APP, apns_key
from tests.support.server_process import ServerProcess, program

PAGE = (Path(__file__).parents[3] / "docs" / "PUSH.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def requests() -> Iterator[tuple[str, str, Any, int, Any]]:
    """(method, path, body, status, members of the answer) of the page."""
    for part in blocks("http")[0].strip().split("\n\n"):
        head, body, answer = part.split("\n")
        method, path = head.split(" ")
        status, told = answer.split(" ", 1)
        yield method, path, json.loads(body), int(status), json.loads(told)


def has(found: Any, wanted: Any) -> bool:
    """All that is wanted is there."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and has(found[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(has, found, wanted))
    return bool(found == wanted)


def test_the_page_is_true(tmp_path: Path) -> None:
    settings = {f"push.{key}": value for key, value in tomllib.loads(blocks("toml")[0])["push"].items()}
    with ServerProcess(tmp_path, {**settings, "log.format": "json"}) as server:
        headers = {"X-API-Key": server.first_api_key()}
        with httpx.Client(base_url=server.url, headers=headers, timeout=20) as http:
            for method, path, body, status, told in requests():
                answer = http.request(method, path, json=body)
                assert answer.status_code == status, (path, answer.text)
                assert has(answer.json(), told), (path, answer.text)
        for line in blocks("json")[0].splitlines():
            wanted = json.loads(line)

            def there(wanted: Any = wanted) -> bool:
                lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
                return any(has(line, wanted) for line in lines)

            server.wait_for(there, f"a line of the log with {wanted}")


def test_the_settings_of_the_page_are_settings() -> None:
    names = {name for name, _ in walk(PushSection())}
    for section, keys in tomllib.loads(blocks("toml")[1])["push"].items():
        assert {f"{section}.{key}" for key in keys} <= names


async def test_a_process_pushes_through_apns_and_forgets_what_apple_forgot(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Does:
        return Say(410, b'{"reason":"Unregistered"}') if asked.path.endswith("dead") else Say()

    key = tmp_path / "key.p8"
    key.write_bytes(apns_key().pem)
    async with PushVendor(tmp_path, answer) as vendor:
        server = ServerProcess(tmp_path / "data", at_apple(vendor, key), admin="127.0.0.1:0")
        await asyncio.to_thread(server.start)
        try:
            await _talk(server, vendor)
            where = ("--url", server.admin_url, "--api-key", server.first_api_key())
            tried = await asyncio.to_thread(program, "push", "test", "bob", "--json", *where)
            assert tried.returncode == 1, tried.stderr
            outcomes = {each["device"]: each["outcome"] for each in json.loads(tried.stdout)["devices"]}
            assert outcomes == {
                "phone": "sent", "other": "there is no way to fcm for the app (none)",
            }  # fmt: skip
        finally:
            await asyncio.to_thread(server.stop)
        assert key.read_text() not in server.log()


async def _talk(server: ServerProcess, vendor: PushVendor) -> None:
    async with client_of(server, "bob", "pad") as bob:
        assert await bob.push.register("apns", "dead", app=APP)
    async with client_of(server, "bob", "other") as bob:
        assert not await bob.push.register("fcm", "x")
    async with client_of(server, "bob", "phone") as bob:
        assert await bob.push.register("apns", "feed", locale="zh")
        await bob.push.set(desktop=True)
        devices = (await bob.push.get())["devices"]
        assert isinstance(devices, list)
        assert {each["device"] for each in devices} == {"pad", "other", "phone"}
    with httpx.Client(base_url=server.url, headers={"X-API-Key": server.first_api_key()}) as http:

        def bob(what: str) -> Any:
            return http.get(f"/v1/users/bob/{what}").json()["devices"]

        def away() -> bool:
            return not any(each["online"] for each in bob("devices"))

        def forgotten() -> bool:
            return {each["device"] for each in bob("push")} == {"phone", "other"}

        await asyncio.to_thread(server.wait_for, away, "bob to be away")
        async with client_of(server, "alice", "phone") as alice:
            sent = await alice.send("bob", "oops")
            await until(lambda: len(vendor.asked) >= 2)
            await asyncio.to_thread(server.wait_for, forgotten, "the token that is over to be forgotten")
            await alice.recall("s/alice:bob", sent.seq)
            await until(lambda: len(vendor.asked) >= 3)
    texts = [(asked.path[-4:], json.loads(asked.body)["aps"]["alert"]["body"]) for asked in vendor.asked]
    told = [("dead", "alice: oops"), ("feed", "alice: oops"), ("feed", "alice撤回了一条消息")]
    assert sorted(texts[:2]) + texts[2:] == told
    assert {asked.headers["apns-collapse-id"] for asked in vendor.asked} == {str(sent.server_id)}
    numbers = await asyncio.to_thread(server.metrics)
    assert numbers['qianwan_push_total{outcome="gone",vendor="apns"}'] == 1


async def test_what_waits_behind_a_slow_vendor_at_kill_9_arrives_after_the_next_start(tmp_path: Path) -> None:
    """Once each, under the ids it had; nothing of what was recalled or read before."""
    slow = True

    def answer(asked: Asked) -> Does:
        return Hang() if slow else Say()

    key = tmp_path / "key.p8"
    key.write_bytes(apns_key().pem)
    async with PushVendor(tmp_path, answer) as vendor:
        server = ServerProcess(tmp_path / "data", at_apple(vendor, key))
        await asyncio.to_thread(server.start)
        try:
            said = await _say_100_to_each(server)
            await until(lambda: len(vendor.asked) == 100)  # so many at once on one connection
            await asyncio.to_thread(server.kill)
            before = {asked.headers["apns-collapse-id"]: asked.headers["apns-id"] for asked in vendor.asked}
            slow, many = False, len(vendor.asked)
            await asyncio.to_thread(server.start)
            async with client_of(server, "carol", "pad") as carol:
                await carol.read("s/alice:carol", said["carol"][97].seq)
            async with client_of(server, "alice", "phone") as alice:
                await alice.recall("s/alice:bob", said["bob"][50].seq)
            left = said["bob"][:50] + said["bob"][51:] + said["carol"][98:]
            await until(lambda: len(vendor.asked) - many >= len(left), turns=40_000)
        finally:
            await asyncio.to_thread(server.stop)
        after = vendor.asked[many:]
        assert sorted(asked.headers["apns-collapse-id"] for asked in after) == sorted(
            str(sent.server_id) for sent in left
        )
        again = {asked.headers["apns-collapse-id"]: asked.headers["apns-id"] for asked in after}
        assert {again[each] for each in before.keys() & again.keys()} <= set(before.values())
        badges = {json.loads(asked.body)["aps"]["badge"] for asked in after}
        assert badges == {99, 2}, "as it is after the recall, and for carol after the reading"


def client_of(server: ServerProcess, user: str, device: str) -> qianwan.Client:
    return qianwan.Client(server.url, token=server.token(user, device), device_id=device)


async def _say_100_to_each(server: ServerProcess) -> dict[str, list[qianwan.Ack]]:
    """bob and carol are away, and pushed to."""
    headers = {"X-API-Key": server.first_api_key()}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http:
        for user in ("bob", "carol"):
            device = {"vendor": "apns", "app": APP, "token": f"a{user}"}
            (await http.put(f"/v1/users/{user}/push/devices/phone", json=device)).raise_for_status()
    async with client_of(server, "alice", "phone") as alice:
        return {
            user: sorted(await asyncio.gather(*(alice.send(user, f"{user} {n}") for n in range(100))))
            for user in ("bob", "carol")
        }


def at_apple(vendor: PushVendor, key: Path) -> dict[str, Any]:
    return {
        "push.apns.key": str(key), "push.apns.key_id": "K", "push.apns.team_id": "T",
        "push.apns.topics": [APP], "push.apns.url": vendor.url,
        "outgoing.networks": ["127.0.0.0/8"], "outgoing.ca": str(vendor.certificates.ca),
    }  # fmt: skip
