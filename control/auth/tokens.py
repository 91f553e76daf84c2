"""Client tokens: JWTs signed with Ed25519, verified locally at the gateway.

Rules of RFC 8725: an allow-list of algorithms, `kid` chooses the key, `iss`, `aud`, `typ`, a bounded life.
Claims: `sub` user, `dev` device the token is restricted to (optional), `cnf` key the client must prove (RFC
7800, optional).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

# RFC 9864 names the algorithm "Ed25519"; tokens signed elsewhere may still carry the older, wider name
# "EdDSA".
ALGORITHMS = ("Ed25519", "EdDSA")
TYPE = "JWT"
MAX_TOKEN_CHARS = 4096
ID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


class TokenRefused(Exception):
    """A token that may not log in. `expired` tells a stale token from a bad one; the text is for logs
    only.
    """

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.expired = expired


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. Times in unix seconds; `confirm` is the 32-byte Ed25519 key of `cnf`, or
    None.
    """

    user: str
    device: str | None
    issued_at: int
    expires_at: int
    confirm: bytes | None


class TokenSigner:
    """Signs tokens with one private key."""

    def __init__(self, key: OKPKey, kid: str, issuer: str, audience: str) -> None:
        self._key = key
        self._header = {"alg": ALGORITHMS[0], "kid": kid, "typ": TYPE}
        self._base = {"iss": issuer, "aud": audience}

    def sign(
        self, user: str, now: int, ttl_s: int, device: str | None = None, cnf: Mapping[str, Any] | None = None
    ) -> str:
        """A compact JWT for `user`, valid for `ttl_s` seconds from `now` (unix seconds). Raises ValueError
        on ids.
        """
        for name, value in (("user", user), ("device", device)):
            if value is not None and not ID.fullmatch(value):
                raise ValueError(f"{name} must match {ID.pattern}")
        claims: dict[str, Any] = {**self._base, "sub": user, "iat": now, "exp": now + ttl_s}
        if device is not None:
            claims["dev"] = device
        if cnf is not None:
            confirmation_key({"cnf": cnf})
            claims["cnf"] = dict(cnf)
        return jwt.encode(self._header, claims, self._key, algorithms=list(ALGORITHMS))


@dataclass
class TokenVerifier:
    """Verifies tokens against a set of public keys by `kid`.

    Remembers up to `cache` verified tokens (least recently used goes first), so that reconnects cost no
    signature check; times are judged anew each time, and changing the keys forgets everything.
    """

    issuer: str
    audience: str
    skew_s: int = 30
    max_ttl_s: int = 7 * 86400
    cache: int = 8192
    _keys: KeySet | None = field(default=None, init=False)
    _known: OrderedDict[str, Claims] = field(default_factory=OrderedDict, init=False)

    def set_keys(self, public_keys: Mapping[str, bytes]) -> None:
        """Replace the accepted keys: kid -> 32-byte Ed25519 public key."""
        self._keys = KeySet([_okp(public, kid) for kid, public in public_keys.items()])
        self._known.clear()

    def verify(self, token: str, now: float) -> Claims:
        """Claims of a token that is valid at `now` (unix seconds). Raises TokenRefused."""
        claims = self._known.get(token)
        if claims is None:
            claims = self._parse(token)
            if self.cache:
                self._known[token] = claims
                if len(self._known) > self.cache:
                    self._known.popitem(last=False)
        else:
            self._known.move_to_end(token)
        if claims.expires_at + self.skew_s <= now:
            raise TokenRefused("token expired", expired=True)
        if claims.issued_at - self.skew_s > now:
            raise TokenRefused("token from the future")
        return claims

    def _parse(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenRefused("token too long")
        if self._keys is None:
            raise TokenRefused("no keys")
        try:
            decoded = jwt.decode(token, self._keys, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError) as error:
            raise TokenRefused(f"signature: {type(error).__name__}") from None
        header, claims = decoded.header, decoded.claims
        if "kid" not in header or str(header.get("typ", "")).upper() != TYPE:
            raise TokenRefused("header without kid or of another type")
        return self._judge(claims)

    def _judge(self, claims: Mapping[str, Any]) -> Claims:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self.issuer or self.audience not in audiences:
            raise TokenRefused("issuer or audience")
        user, device = claims.get("sub"), claims.get("dev")
        if not isinstance(user, str) or not ID.fullmatch(user):
            raise TokenRefused("subject")
        if device is not None and (not isinstance(device, str) or not ID.fullmatch(device)):
            raise TokenRefused("device claim")
        issued, expires = claims.get("iat"), claims.get("exp")
        if not _is_time(issued) or not _is_time(expires):
            raise TokenRefused("times")
        assert issued is not None
        assert expires is not None
        if not 0 < expires - issued <= self.max_ttl_s:
            raise TokenRefused("life out of bounds")
        not_before = claims.get("nbf", issued)
        if not _is_time(not_before):
            raise TokenRefused("times")
        try:
            confirm = confirmation_key(claims)
        except ValueError as error:
            raise TokenRefused(str(error)) from None
        return Claims(user, device, max(int(issued), int(not_before)), int(expires), confirm)


def confirmation_key(claims: Mapping[str, Any]) -> bytes | None:
    """The 32-byte Ed25519 key of a `cnf` claim, None without one. Raises ValueError when it is there but
    not usable.
    """
    if "cnf" not in claims:
        return None
    cnf = claims["cnf"]
    jwk = cnf.get("jwk") if isinstance(cnf, Mapping) else None
    if not isinstance(jwk, Mapping) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
        raise ValueError("cnf must hold an Ed25519 jwk")
    try:
        key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": str(jwk.get("x"))})
        return key.public_key.public_bytes_raw()
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError(f"cnf key: {type(error).__name__}") from None


def private_okp(seed: bytes, kid: str) -> OKPKey:
    """The signing key of a 32-byte Ed25519 seed."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from joserfc.util import urlsafe_b64encode

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return OKPKey.import_key(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": urlsafe_b64encode(public).decode(),
            "d": urlsafe_b64encode(seed).decode(),
            "kid": kid,
        }
    )


def _okp(public: bytes, kid: str) -> OKPKey:
    from joserfc.util import urlsafe_b64encode

    x = urlsafe_b64encode(public).decode()
    return OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid})


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53
