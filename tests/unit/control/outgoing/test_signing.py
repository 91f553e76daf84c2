"""Receivers can tell that a request is ours: by a library that others wrote, and by the public key alone."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from control.outgoing.signing import Signer, check_secret, make_secret, public_key

BODY = '{"text":"你好"}'.encode()


def test_an_independent_library_verifies_hmac() -> None:
    secret = make_secret()
    headers = Signer([secret]).headers("msg_1", int(time.time()), BODY)
    assert Webhook(secret).verify(BODY, headers) == {"text": "你好"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)


def test_the_example_of_the_specification_library() -> None:
    """Known answer, of the reference implementations."""
    signer = Signer(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_secrets_change_both_old_and_new_verify() -> None:
    old, new = make_secret(), make_secret()
    headers = Signer([new, old]).headers("msg_1", int(time.time()), BODY)
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret()).verify(BODY, headers)


def test_ed25519_verifies_by_the_public_key_beside_hmac() -> None:
    shared, private = make_secret(), make_secret(asymmetric=True)
    headers = Signer([shared, private]).headers("msg_1", int(time.time()), BODY)
    Webhook(shared).verify(BODY, headers)
    public = public_key(private)
    assert public is not None
    key = Ed25519PublicKey.from_public_bytes(b64decode(public.removeprefix("whpk_")))
    version, _, signature = headers["webhook-signature"].split(" ")[1].partition(",")
    assert version == "v1a"
    signed = f"msg_1.{headers['webhook-timestamp']}.".encode() + BODY
    key.verify(b64decode(signature), signed)
    with pytest.raises(InvalidSignature):
        key.verify(b64decode(signature), signed + b" ")


def test_an_ed25519_seed_alone_is_a_secret() -> None:
    private = make_secret(asymmetric=True)
    seed = "whsk_" + b64encode(b64decode(private.removeprefix("whsk_"))[:32]).decode()
    assert public_key(seed) == public_key(private)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "secret",
        "whsec_",
        "whsec_!!!!",
        "whsec_" + b64encode(bytes(65)).decode(),
        "whsk_AAAA",
        "whsk_" + b64encode(bytes(64)).decode(),
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        check_secret(secret)
    assert len(secret) < 7 or secret not in str(raised.value)
