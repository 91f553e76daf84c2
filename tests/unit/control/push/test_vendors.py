"""What APNs and FCM are asked, word by word, and what their answers mean; over real HTTP/2."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from standardwebhooks import Webhook

from control.outgoing.signing import Signer, make_secret
from control.push.fcm import GRANT, SCOPE
from control.push.relay import Relay
from control.push.vendor import Outcome
from tests.support.im_world import TestClock
from tests.support.push_vendor import Asked, Does, Hang, PushVendor, Say
from tests.support.pushes import ACCOUNT_KEY, APP, TEAM_KEY, a_push, apns_at, client_to, fcm_at


async def test_apns_is_asked_as_apple_wants_it(tmp_path: Path) -> None:
    clock = TestClock()
    async with PushVendor(tmp_path) as vendor:
        client = client_to(vendor)
        apns = apns_at(vendor, client, clock)
        assert await apns.send(a_push()) == Outcome("sent")
        assert await apns.send(a_push(recalls=True, expires_ms=clock.ms + 5000)) == Outcome("sent")
        clock.advance(49 * 60_000)
        assert await apns.send(a_push(app="")) == Outcome("sent")
        clock.advance(2 * 60_000)
        await apns.send(a_push())
        await client.close()
    first, recall, same, renewed = [asked.headers for asked in vendor.asked]
    assert vendor.connections == 1
    assert vendor.asked[0].path == "/3/device/a1b2"
    assert {name: first[f"apns-{name}"] for name in ("topic", "push-type", "priority", "collapse-id")} == {
        "topic": APP, "push-type": "alert", "priority": "10", "collapse-id": "7",
    }  # fmt: skip
    assert int(first["apns-expiration"]) == 1_800_000_000 + 86_400
    assert (recall["apns-priority"], recall["apns-collapse-id"]) == ("5", "7")
    assert int(recall["apns-expiration"]) == 1_800_000_005
    assert recall["apns-id"] != first["apns-id"] == same["apns-id"]
    assert same["apns-topic"] == APP
    token = first["authorization"].removeprefix("bearer ")
    told = jwt.decode(token, TEAM_KEY, algorithms=["ES256"])
    assert (told.header["kid"], told.claims) == ("KEY1234567", {"iss": "TEAM123456", "iat": 1_800_000_000})
    assert same["authorization"] == first["authorization"] != renewed["authorization"]
    quiet = vendor.asked[1].json["aps"]
    assert isinstance(quiet, dict)
    assert (quiet["interruption-level"], "sound" in quiet) == ("passive", False)


APNS_ANSWERS: list[tuple[Say, str, float]] = [
    (Say(200, empty=3), "sent", 0),
    (Say(400, b'{"reason":"BadDeviceToken"}'), "refused", 0),
    (Say(400, b"no json"), "refused", 0),
    (Say(403, b'{"reason":"InvalidProviderToken"}'), "refused", 0),
    (Say(410, b'{"reason":"Unregistered","timestamp":2000}'), "gone", 0),
    (Say(410, b'{"reason":"Unregistered"}', empty=1), "gone", 0),
    (Say(410, b'{"reason":"Unregistered","timestamp":999}'), "refused", 0),
    (Say(413, b'{"reason":"PayloadTooLarge"}'), "refused", 0),
    (Say(429, b'{"reason":"TooManyRequests"}', (("retry-after", "7"),)), "later", 7),
    (Say(500, b'{"reason":"InternalServerError"}'), "failed", 0),
    (Say(503, b'{"reason":"Shutdown"}', (("retry-after", "soon"),)), "failed", 0),
    (Say(200, b"x" * 9000), "failed", 0),
]


async def test_what_apple_answers(tmp_path: Path) -> None:
    answers = iter([say for say, _, _ in APNS_ANSWERS])
    async with PushVendor(tmp_path, lambda asked: next(answers)) as vendor:
        client = client_to(vendor)
        apns = apns_at(vendor, client, TestClock())
        for say, kind, after_s in APNS_ANSWERS:
            found = await apns.send(a_push())
            assert (found.kind, found.after_s) == (kind, after_s), (say, found)
        assert (await apns.send(a_push(token="../evil"))).kind == "refused"
        assert len(vendor.asked) == len(APNS_ANSWERS), "no such token leaves the house"
        await client.close()


async def test_a_provider_token_that_apple_calls_expired_is_made_anew_once(tmp_path: Path) -> None:
    clock = TestClock()
    expired = Say(403, b'{"reason":"ExpiredProviderToken"}')

    def answer(asked: Asked) -> Does:
        return expired if asked.number != 1 else Say()

    async with PushVendor(tmp_path, answer) as vendor:
        client = client_to(vendor)
        apns = apns_at(vendor, client, clock)
        clock.advance(1000)
        assert (await apns.send(a_push())).kind == "sent"
        assert len({asked.headers["authorization"] for asked in vendor.asked}) == 2
        assert (await apns.send(a_push())).kind == "refused", "and not without end"
        assert len(vendor.asked) == 4
        await client.close()


async def test_a_vendor_that_never_answers_takes_its_budget(tmp_path: Path) -> None:
    async with PushVendor(tmp_path, lambda asked: Hang()) as vendor:
        client = client_to(vendor)
        found = await apns_at(vendor, client, TestClock(), budget_s=0.3).send(a_push())
        assert (found.kind, found.text[:7]) == ("failed", "timeout")
        await client.close()


async def test_fcm_is_asked_as_google_wants_it(tmp_path: Path) -> None:
    clock = TestClock()
    tokens = iter(["one", "two", "three"])

    def answer(asked: Asked) -> Does:
        if asked.path == "/token":
            return Say(200, json.dumps({"access_token": next(tokens), "expires_in": 3600}).encode())
        return Say(200, b'{"name":"projects/proj/messages/1"}')

    async with PushVendor(tmp_path, answer) as vendor:
        client = client_to(vendor)
        fcm = fcm_at(vendor, client, clock)
        push = a_push("汉" * 3000, vendor="fcm", app="proj", title="Team", payload='{"a":1}')
        assert await fcm.send(push) == Outcome("sent")
        assert await fcm.send(a_push(app="", recalls=True)) == Outcome("sent")
        clock.advance(3500_000)
        assert await fcm.send(a_push(app="")) == Outcome("sent")
        await client.close()
    grant, first, second, again, third = vendor.asked
    form = parse_qs(grant.body.decode())
    assert form["grant_type"] == [GRANT]
    claims = jwt.decode(form["assertion"][0], ACCOUNT_KEY, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["scope"], claims["aud"]) == (
        "pusher@proj.example",
        SCOPE,
        f"{vendor.url}/token",
    )
    assert claims["exp"] - claims["iat"] == 3600
    assert (first.path, second.path) == ("/v1/projects/proj/messages:send",) * 2
    assert [asked.headers["authorization"] for asked in (first, second, third)] == [
        "Bearer one", "Bearer one", "Bearer two",
    ]  # fmt: skip
    assert again.path == "/token"
    message = json.loads(first.body)["message"]
    assert message["token"] == "a1b2"
    del message["token"]
    assert 3990 <= len(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()) <= 4000
    assert message["android"]["collapse_key"] == message["android"]["notification"]["tag"] == "7"
    assert message["android"]["notification"]["notification_count"] == 3
    assert (message["android"]["priority"], message["android"]["ttl"]) == ("HIGH", "86400s")
    assert json.loads(message["data"]["qianwan"])["payload"] == {"a": 1}
    assert message["notification"]["title"] == "Team"


def trouble(status: str, code: str = "") -> bytes:
    details = (
        [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}] if code else []
    )
    return json.dumps({"error": {"code": 1, "message": "m", "status": status, "details": details}}).encode()


FCM_ANSWERS: list[tuple[Say, str, float]] = [
    (Say(404, trouble("NOT_FOUND", "UNREGISTERED")), "gone", 0),
    (Say(404, trouble("NOT_FOUND")), "refused", 0),
    (Say(400, trouble("INVALID_ARGUMENT", "INVALID_ARGUMENT")), "refused", 0),
    (Say(403, trouble("PERMISSION_DENIED", "SENDER_ID_MISMATCH")), "refused", 0),
    (Say(429, trouble("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")), "later", 60),
    (Say(429, trouble("RESOURCE_EXHAUSTED"), (("retry-after", "5"),)), "later", 5),
    (Say(503, trouble("UNAVAILABLE", "UNAVAILABLE"), (("retry-after", "9"),)), "failed", 9),
    (Say(200, b"{}", empty=2), "sent", 0),
]


async def test_what_google_answers(tmp_path: Path) -> None:
    answers = iter([say for say, _, _ in FCM_ANSWERS])

    def answer(asked: Asked) -> Does:
        return Say(200, b'{"access_token":"t"}') if asked.path == "/token" else next(answers)

    async with PushVendor(tmp_path, answer) as vendor:
        client = client_to(vendor)
        fcm = fcm_at(vendor, client, TestClock())
        for say, kind, after_s in FCM_ANSWERS:
            found = await fcm.send(a_push(app="proj"))
            assert (found.kind, found.after_s) == (kind, after_s), (say, found)
        await client.close()


@pytest.mark.parametrize("grant", [Say(401, b"{}"), Say(200, b"[]"), Say(500)])
async def test_without_an_access_token_nothing_is_sent(tmp_path: Path, grant: Say) -> None:
    async with PushVendor(tmp_path, lambda asked: grant) as vendor:
        client = client_to(vendor)
        assert (await fcm_at(vendor, client, TestClock()).send(a_push(app="proj"))).kind == "failed"
        assert {asked.path for asked in vendor.asked} == {"/token"}
        await client.close()


async def test_an_access_token_that_is_not_taken_is_changed_once(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Does:
        if asked.path == "/token":
            return Say(200, json.dumps({"access_token": f"t{asked.number}"}).encode())
        return Say(401) if asked.headers["authorization"] == "Bearer t0" else Say()

    async with PushVendor(tmp_path, answer) as vendor:
        client = client_to(vendor)
        assert (await fcm_at(vendor, client, TestClock()).send(a_push(app="proj"))).kind == "sent"
        assert [asked.path[-5:] for asked in vendor.asked] == ["token", ":send", "token", ":send"]
        await client.close()


async def test_a_relay_can_tell_that_it_is_us_and_what_was_sent_again(tmp_path: Path) -> None:
    import time

    secrets = [make_secret(), make_secret()]
    clock = TestClock()
    clock.ms = time.time_ns() // 1_000_000
    answers = iter(
        [Say(204), Say(204), Say(410), Say(400), Say(429, headers=(("retry-after", "3"),)), Say(502)]
    )
    async with PushVendor(tmp_path, lambda asked: next(answers)) as vendor:
        client = client_to(vendor)
        where, signer = f"{vendor.url}/push", Signer(secrets)
        relay = Relay(client, where, signer, ["huawei"], clock, budget_s=5.0, keep_s=60)
        found = [await relay.send(a_push("hi", vendor="huawei", payload='{"a":1}')) for _ in range(6)]
        await client.close()
    assert [(each.kind, each.after_s) for each in found] == [
        ("sent", 0), ("sent", 0), ("gone", 0), ("refused", 0), ("later", 3), ("failed", 0),
    ]  # fmt: skip
    first, second, *_ = vendor.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    for secret in secrets:
        told = Webhook(secret).verify(first.body, first.headers)
        assert told["to"] == {
            "vendor": "huawei", "app": APP, "token": "a1b2", "user": "bob", "device": "phone"
        }  # fmt: skip
        assert (told["text"], told["badge"], told["collapse"]) == ("hi", 3, "7")
        assert told["qianwan"] == {
            "conversation": "s/alice:bob", "server_id": "7", "sender": "alice", "payload": {"a": 1},
        }  # fmt: skip
