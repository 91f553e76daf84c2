"""What an endpoint may be, and what its bodies look like."""

from __future__ import annotations

import msgspec
import pytest

from control.keys.wrapped import CannotUnwrap, Wrapping
from control.outbox.endpoints import Endpoint, check_url, place_of, secrets_now
from control.outbox.sink import batch_id, body_of, encoded
from control.outgoing.addresses import AddressPolicy
from im_service.outbox.ports import Event

POLICY = AddressPolicy(["10.20.0.0/16"])


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hook?a=b", "https://10.20.0.1/", "nats://10.20.0.1:4222/shop.events",
        "nats+tls://nats.example/shop", "kafka://k1:9092,k2:9092/topic", "kafka+tls://[2001:4860::1]:9092/t",
    ],
)  # fmt: skip
def test_places_that_may_be_named(url: str) -> None:
    check_url(url, POLICY)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/b", "http://shop.example/", "https://user:pw@example.com/", "https://10.0.0.1/",
        "https://169.254.169.254/latest", "https://[::1]/", "", "https://", "nats://a", "nats://u:p@h/x",
        "nats://h/x.", "nats://h/x.>", "nats://h/*", "kafka://h:1/a b", "kafka://h:1/a\n", "kafka://h:x/t",
        "kafka://10.1.1.1:9092/topic", "kafka://h:1,/t", "kafka://h:1/t?x=1", "kafka:/h/t", "nats://127.0.0.1/x",
    ],
)  # fmt: skip
def test_places_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_url(url, POLICY)


def test_servers_and_topic_of_a_place() -> None:
    place = place_of("kafka+tls://k1,k2:9093/shop.events")
    assert place == ((("k1", 9092), ("k2", 9093)), "shop.events", True)


def test_the_second_secret_signs_until_its_time() -> None:
    wrapping = Wrapping([bytes(32)])
    secrets = tuple(wrapping.wrap("endpoints/shop", text) for text in ("new", "old"))
    endpoint = Endpoint(url="https://a/", secrets=secrets, second_until=100)
    assert secrets_now(endpoint, "shop", wrapping, 99) == ["new", "old"]
    assert secrets_now(endpoint, "shop", wrapping, 100) == ["new"]
    with pytest.raises(CannotUnwrap):
        secrets_now(endpoint, "other", wrapping, 0)


EVENT = Event("e1", "message.single", 1_700_000_000_123, "s/a:b", "staging", {"text": "hi"}, "c1")


def test_a_body_of_our_own_form() -> None:
    body, kind = body_of([EVENT], "qianwan")
    assert kind == "application/json"
    assert msgspec.json.decode(body) == {
        "events": [
            {
                "event_id": "e1", "kind": "message.single", "time_ms": 1_700_000_000_123, "subject": "s/a:b",
                "data": {"text": "hi"}, "cursor": "c1", "env": "staging",
            }
        ]
    }  # fmt: skip


def test_a_body_of_cloud_events() -> None:
    body, kind = body_of([EVENT._replace(env=None)], "cloudevents")
    assert kind == "application/cloudevents-batch+json"
    (found,) = msgspec.json.decode(body)
    required = {"specversion": "1.0", "id": "e1", "source": "/qianwan", "type": "message.single"}
    assert required.items() <= found.items()
    assert found["time"] == "2023-11-14T22:13:20.123000Z"
    assert msgspec.json.decode(encoded(EVENT, "cloudevents"))["qwenv"] == "staging"
    assert all(name.isalnum() and name.islower() for name in found), "names of attributes, CloudEvents 1.0.2"


def test_the_id_of_a_batch_is_that_of_its_events() -> None:
    other = EVENT._replace(event_id="e2")
    assert batch_id([EVENT]) == "e1"
    assert batch_id([EVENT, other]) == batch_id([EVENT, other]) != batch_id([other, EVENT])
    assert "." not in batch_id([EVENT, other])
