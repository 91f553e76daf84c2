"""Tokens and the login check: everything that must be refused, and why."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import OctKey

from control.auth.login import (
    CONTEXT,
    LoginRefused,
    bearer_binding,
    check_login,
)
from control.auth.tokens import TokenRefused, TokenSigner, TokenVerifier, private_okp
from frame import frames
from frame.constants import PREAUTH_MAX_RECORD, TOKEN_MAX, CloseCode, FrameType
from tests.support.gateway_client import auth_body

NOW = 1_800_000_000
TAG_MAX = 32  # of the suites, bytes
HASH = bytes(range(32))
SEED = bytes(range(32, 64))


def public_of(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signer(
    seed: bytes = SEED, kid: str = "k1", issuer: str = "qianwan", audience: str = "qianwan"
) -> TokenSigner:
    return TokenSigner(private_okp(seed, kid), kid, issuer, audience)


@pytest.fixture
def verifier() -> TokenVerifier:
    found = TokenVerifier("qianwan", "qianwan", skew_s=30, max_ttl_s=86400)
    found.set_keys({"k1": public_of(SEED)})
    return found


def login(verifier: TokenVerifier, token: str, **changed: Any) -> Any:
    arguments: dict[str, Any] = {
        "now": NOW,
        "handshake_hash": HASH,
        "kind": 1,
        "token": token,
        "binding": bearer_binding(token, HASH),
        "device": "phone",
    } | changed
    return check_login(verifier, **arguments)


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    return ".".join(b64(json.dumps(part).encode()) for part in (header, claims)) + "." + b64(signature)


CLAIMS = {"iss": "qianwan", "aud": "qianwan", "sub": "alice", "iat": NOW, "exp": NOW + 60}


def signed(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    return jwt.encode(
        {"alg": "Ed25519", "kid": "k1", "typ": "JWT"} | (header or {}), claims, private_okp(SEED, "k1"),
        algorithms=["Ed25519", "EdDSA"],
    )  # fmt: skip


HEADER = {"alg": "Ed25519", "kid": "k1", "typ": "JWT"}


def sodium_signed(header: object, claims: object) -> str:
    """A true signature over whatever is asked for."""
    text = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return text + "." + b64(Ed25519PrivateKey.from_private_bytes(SEED).sign(text.encode()))


def test_a_good_token_logs_in(verifier: TokenVerifier) -> None:
    claims = login(verifier, signer().sign("alice", NOW, 60))
    assert (claims.user, claims.device, claims.expires_at) == ("alice", None, NOW + 60)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(forged({"alg": "none", "kid": "k1", "typ": "JWT"}, CLAIMS), id="alg none"),
        pytest.param(
            forged({"alg": "Ed25519", "kid": "k1", "typ": "JWT"}, CLAIMS, bytes(64)), id="no signature"
        ),
        pytest.param(
            jwt.encode(
                {"alg": "HS256", "kid": "k1", "typ": "JWT"}, CLAIMS, OctKey.import_key(public_of(SEED))
            ),
            id="HMAC under the public key",
        ),
        pytest.param(signer(bytes(32)).sign("alice", NOW, 60), id="another key under our kid"),
        pytest.param(signer(kid="k2").sign("alice", NOW, 60), id="unknown kid"),
        pytest.param(signer(issuer="other").sign("alice", NOW, 60), id="wrong issuer"),
        pytest.param(signer(audience="other").sign("alice", NOW, 60), id="wrong audience"),
        pytest.param(signer().sign("alice", NOW, 86401), id="lives too long"),
        pytest.param(signed({**CLAIMS, "exp": NOW - 1, "iat": NOW}), id="ends before it begins"),
        pytest.param(signed({key: value for key, value in CLAIMS.items() if key != "exp"}), id="no exp"),
        pytest.param(signed({**CLAIMS, "exp": True}), id="exp true"),
        pytest.param(signed({**CLAIMS, "exp": 1e400}), id="exp infinite"),
        pytest.param(signed({**CLAIMS, "rev": -1}), id="rev below zero"),
        pytest.param(signed({**CLAIMS, "rev": "9"}), id="rev is a text"),
        pytest.param(signed({**CLAIMS, "rev": True}), id="rev true"),
        pytest.param(signed({**CLAIMS, "rev": 1e400}), id="rev infinite"),
        pytest.param(signed({**CLAIMS, "sub": "no/slash"}), id="subject"),
        pytest.param(signed({**CLAIMS, "sub": 7}), id="subject is a number"),
        pytest.param(signed(CLAIMS, {"typ": "at+jwt"}), id="typ"),
        pytest.param(sodium_signed({"alg": "Ed25519", "kid": "k1"}, CLAIMS), id="no typ"),
        pytest.param(sodium_signed({**HEADER, "crit": ["exp"]}, CLAIMS), id="critical extension"),
        pytest.param(sodium_signed({**HEADER, "kid": 1}, CLAIMS), id="kid is a number"),
        pytest.param(sodium_signed({**HEADER, "alg": ["Ed25519"]}, CLAIMS), id="alg is a list"),
        pytest.param(sodium_signed(HEADER, [CLAIMS]), id="claims are a list"),
        pytest.param(sodium_signed(HEADER, CLAIMS) + "=", id="padding"),
        pytest.param(sodium_signed(HEADER, CLAIMS) + "AAAA", id="longer signature"),
        pytest.param(sodium_signed(HEADER, CLAIMS).rpartition(".")[0], id="two parts"),
        pytest.param("." + sodium_signed(HEADER, CLAIMS), id="four parts"),
        pytest.param(sodium_signed(HEADER, CLAIMS).replace(".", " .", 1), id="blank in base64"),
        pytest.param(signed({**CLAIMS, "cnf": {"jwk": {"kty": "EC"}}}), id="cnf of another kind"),
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="garbage"),
        pytest.param("x" * 5000, id="long"),
        pytest.param("\u00e9.\u00e9.\u00e9", id="not ascii"),
    ],
)
def test_bad_tokens_are_refused_all_alike(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(LoginRefused) as refused:
        login(verifier, token)
    assert (refused.value.code, refused.value.text) == (CloseCode.AUTH_FAILED, "authentication failed")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signer().sign("alice", NOW + 3600, 60), id="iat"),
        pytest.param(signed({**CLAIMS, "nbf": NOW + 3600}), id="nbf"),
    ],
)
def test_a_gateway_whose_clock_is_behind_sends_nobody_away_for_good(
    verifier: TokenVerifier, token: str
) -> None:
    with pytest.raises(LoginRefused) as refused:
        login(verifier, token)
    assert (refused.value.code, refused.value.reason) == (CloseCode.AUTH_UNAVAILABLE, "token from the future")


def test_an_expired_token_has_a_code_of_its_own_and_the_clocks_may_differ(verifier: TokenVerifier) -> None:
    token = signer().sign("alice", NOW, 60)
    login(verifier, token, now=NOW + 89)
    with pytest.raises(LoginRefused) as refused:
        login(verifier, token, now=NOW + 90)
    assert refused.value.code == CloseCode.TOKEN_EXPIRED


def test_a_token_that_names_an_earlier_revocation_or_none_is_over_whatever_its_times_say(
    verifier: TokenVerifier,
) -> None:
    latest = NOW + 5

    def judged(revocation: int, iat: int = NOW) -> int:
        token = signer().sign("alice", iat, 60, revocation=revocation)
        try:
            login(verifier, token, revoked=lambda user, device: latest)
        except LoginRefused as refused:
            return refused.code
        return 0

    assert judged(latest) == judged(latest + 1) == judged(latest, NOW - 20) == 0
    for iat in (NOW - 20, NOW, NOW + 29):
        assert judged(0, iat) == judged(latest - 1, iat) == CloseCode.TOKEN_EXPIRED


def test_a_token_that_was_good_is_judged_anew(verifier: TokenVerifier) -> None:
    token = signer().sign("alice", NOW, 60)
    verifier.verify(token, NOW)
    with pytest.raises(TokenRefused, match="expired"):
        verifier.verify(token, NOW + 100)
    verifier.set_keys({"k2": public_of(bytes(32))})
    with pytest.raises(TokenRefused):
        verifier.verify(token, NOW)


def test_no_bit_of_a_token_may_change(verifier: TokenVerifier) -> None:
    """Every character of all three parts. The last one of the signature holds two bits that nobody reads."""
    token = signer().sign("alice", NOW, 60)
    for at in range(len(token) - 1):
        changed = "B" if token[at] != "B" else "C"
        with pytest.raises(TokenRefused):
            verifier.verify(token[:at] + changed + token[at + 1 :], NOW)


def test_both_names_of_the_algorithm_are_taken(verifier: TokenVerifier) -> None:
    assert verifier.verify(signed(CLAIMS, {"alg": "EdDSA"}), NOW).user == "alice"


def test_a_token_may_be_for_one_device_only(verifier: TokenVerifier) -> None:
    token = signer().sign("alice", NOW, 60, device="phone")
    login(verifier, token, device="phone")
    with pytest.raises(LoginRefused, match="another device"):
        login(verifier, token, device="tablet")


def test_the_binding_belongs_to_one_connection(verifier: TokenVerifier) -> None:
    token = signer().sign("alice", NOW, 60)
    for binding in (bearer_binding(token, bytes(32)), b"", bearer_binding(token, HASH)[:31]):
        with pytest.raises(LoginRefused, match="binding"):
            login(verifier, token, binding=binding)


def test_a_key_bound_token_needs_its_key(verifier: TokenVerifier) -> None:
    client = Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96)))
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(client.public_key().public_bytes_raw())}
    token = signer().sign("alice", NOW, 60, cnf={"jwk": jwk})
    proof = client.sign(CONTEXT + HASH)
    assert login(verifier, token, kind=2, binding=proof).user == "alice"
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(CONTEXT + HASH)
    for kind, binding in ((1, bearer_binding(token, HASH)), (2, stranger), (2, b""), (2, client.sign(HASH))):
        with pytest.raises(LoginRefused) as refused:
            login(verifier, token, kind=kind, binding=binding)
        assert refused.value.code == CloseCode.AUTH_FAILED
    plain = signer().sign("alice", NOW, 60)
    for kind in (0, 2, 3):
        with pytest.raises(LoginRefused):
            login(verifier, plain, kind=kind)


def test_every_token_of_the_defaults_fits_into_a_login() -> None:
    """The longest names, the longest numbers, a bound key, a true thumbprint: with room to spare."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "x" * 42 + "w"}
    token = signer(kid="k" * 43).sign("u" * 64, 9_999_999_999 - 86_400, 86_400, "d" * 64, {"jwk": jwk})
    assert len(token) <= TOKEN_MAX - 32
    body = auth_body(b"t" * TOKEN_MAX, bytes(64), b"d" * 64, kind=2)
    assert 2 + len(frames.build(FrameType.AUTH, body)) + TAG_MAX <= PREAUTH_MAX_RECORD


def test_a_token_that_would_not_fit_is_not_signed() -> None:
    with pytest.raises(ValueError, match=r"\d+ characters, 592 fit into a login"):
        signer(issuer="i" * 300).sign("alice", NOW, 60)


def test_a_token_names_its_key_by_the_first_of_its_kid(verifier: TokenVerifier) -> None:
    """By more of it too, as tokens signed elsewhere do; two keys that begin alike are refused."""
    verifier.set_keys({"k1234567-and-more": public_of(SEED), "k2": public_of(bytes(32))})
    for kid in ("k1234567-and-more", "k1234567", "k1234567-and-else"):
        assert verifier.verify(sodium_signed({**HEADER, "kid": kid}, CLAIMS), NOW).user == "alice"
    with pytest.raises(TokenRefused, match="no such key"):
        verifier.verify(sodium_signed({**HEADER, "kid": "k123456"}, CLAIMS), NOW)
    with pytest.raises(ValueError, match="same first 8"):
        verifier.set_keys({"k1234567-a": public_of(SEED), "k1234567-b": public_of(bytes(32))})


def test_the_signer_refuses_what_could_never_log_in() -> None:
    for arguments in ({"user": "a/b"}, {"user": ""}, {"user": "a", "device": "x y"}):
        with pytest.raises(ValueError, match="must be an id"):
            signer().sign(arguments["user"], NOW, 60, arguments.get("device"))
    with pytest.raises(ValueError, match="cnf"):
        signer().sign("alice", NOW, 60, cnf={"jwk": {"kty": "OKP", "crv": "X25519", "x": ""}})


def test_ids_of_the_server_get_no_token_and_log_in_with_none(verifier: TokenVerifier) -> None:
    with pytest.raises(ValueError, match="the server's"):
        signer().sign("@system", NOW, 60)
    claims = {"iss": "qianwan", "aud": "qianwan", "sub": "@system", "iat": NOW, "exp": NOW + 60}
    header = {"alg": "Ed25519", "kid": "k1", "typ": "JWT"}
    with pytest.raises(TokenRefused, match="subject"):
        verifier.verify(jwt.encode(header, claims, private_okp(SEED, "k1"), algorithms=["Ed25519"]), NOW)
    assert verifier.verify(signer().sign("ann@example.org", NOW, 60), NOW).user == "ann@example.org"


def test_a_token_has_one_text(verifier: TokenVerifier) -> None:
    """The last character of a part has bits that say nothing: set, they would make another text of the same
    token."""
    token = signer().sign("alice", NOW, 600)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert login(verifier, token).user == "alice"
    assert len(b64(bytes(64))) % 4 == 2, "of a signature the last character has four bits that say nothing"
    number = alphabet.index(token[-1])
    for other in range(1, 16):
        with pytest.raises(LoginRefused):
            login(verifier, token[:-1] + alphabet[number ^ other])
