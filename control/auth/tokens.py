"""Client tokens: JWTs signed with Ed25519, verified locally at the gateway.

Rules of RFC 8725: an allow-list of algorithms, `kid` chooses the key, `iss`, `aud`, `typ`, a bounded life.
Claims: `sub` user, `dev` device the token is restricted to (optional), `cnf` key the client must prove (RFC
7800, optional), `rev` the latest revocation that the signer knew of (control/auth/revocations.py; optional).

Every login is checked anew and leaves nothing behind: the check is 60 to 80 us, and what is remembered
for a million idle users would be asked for by few of them (docs/decisions/0010-every-login-is-checked.md).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.jwk import OKPKey
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from frame.constants import ID_PATTERN, TOKEN_MAX
from im_service.faults import meaning
from im_service.ids import RESERVED, reserved

# RFC 9864 names the algorithm "Ed25519"; tokens signed elsewhere may still carry the older, wider name
# "EdDSA".
ALGORITHMS = ("Ed25519", "EdDSA")
TYPE = "JWT"
KID_CHARS = 8  # of a key's thumbprint in a token, which is short so that AUTH is; 48 bits
ID = re.compile(ID_PATTERN)
KEY_BYTES = 32
SIGNATURE_BYTES = 64
_STANDARD = bytes.maketrans(b"-_+/=", b"+/---")  # base64url to base64; what it does not have stays foreign
_decode_header = msgspec.json.Decoder(dict[str, Any]).decode
_decode_claims = msgspec.json.Decoder(dict[str, Any]).decode


class TokenRefused(Exception):
    """A token that may not log in. `expired` tells a stale token from a bad one, `early` one that does not
    hold yet: by the clock here, which may be the wrong one. The text is for logs only.
    """

    def __init__(self, reason: str, *, expired: bool = False, early: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.expired = expired
        self.early = early


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. Times in unix seconds: `issued_at` is what it holds from; `revocation` is
    the latest of the user that its signer knew of, 0: none; `confirm` is the 32-byte Ed25519 key of `cnf`,
    or None.
    """

    user: str
    device: str | None
    issued_at: int
    expires_at: int
    revocation: int
    confirm: bytes | None


class TokenSigner:
    """Signs tokens with one private key."""

    def __init__(self, key: OKPKey, kid: str, issuer: str, audience: str) -> None:
        self._key = key
        self._header = {"alg": ALGORITHMS[0], "kid": kid[:KID_CHARS], "typ": TYPE}
        self._base = {"iss": issuer, "aud": audience}

    def sign(
        self,
        user: str,
        now: int,
        ttl_s: int,
        device: str | None = None,
        cnf: Mapping[str, Any] | None = None,
        revocation: int = 0,
    ) -> str:
        """A compact JWT for `user`, valid for `ttl_s` seconds from `now` (unix seconds). `revocation` is the
        latest moment that is known of the user. Raises ValueError on ids, and on a token that would not fit
        into AUTH.
        """
        for name, value in (("user", user), ("device", device)):
            if value is not None and not ID.fullmatch(value):
                raise ValueError(f"{name} must be {meaning(ID.pattern)}")
        if reserved(user):
            raise ValueError(f"user: ids that begin with {RESERVED} are the server's")
        claims: dict[str, Any] = {**self._base, "sub": user, "iat": now, "exp": now + ttl_s}
        if device is not None:
            claims["dev"] = device
        if cnf is not None:
            confirmation_key({"cnf": cnf})
            claims["cnf"] = dict(cnf)
        if revocation:
            claims["rev"] = revocation
        token = jwt.encode(self._header, claims, self._key, algorithms=list(ALGORITHMS))
        if len(token) > TOKEN_MAX:
            raise ValueError(
                f"the token would have {len(token)} characters, {TOKEN_MAX} fit into a login:"
                " shorten user, device, auth.issuer or auth.audience"
            )
        return token


@dataclass
class TokenVerifier:
    """Verifies tokens against a set of public keys by `kid`."""

    issuer: str
    audience: str
    skew_s: int = 30
    max_ttl_s: int = 7 * 86400
    _keys: dict[str, bytes] = field(default_factory=dict, init=False)

    def set_keys(self, public_keys: Mapping[str, bytes]) -> None:
        """Replace the accepted keys: kid -> 32-byte Ed25519 public key. A token names its key by the first
        KID_CHARS of the kid, or more of it. Raises ValueError when two keys begin alike.
        """
        keys = {kid[:KID_CHARS]: key for kid, key in public_keys.items()}
        if len(keys) < len(public_keys):
            raise ValueError(f"two token keys have the same first {KID_CHARS} characters: rotate them")
        self._keys = keys

    def verify(self, token: str, now: float) -> Claims:
        """Claims of a token that is valid at `now` (unix seconds). Raises TokenRefused."""
        claims = self._parse(token)
        if claims.expires_at + self.skew_s <= now:
            raise TokenRefused("token expired", expired=True)
        if claims.issued_at - self.skew_s > now:
            raise TokenRefused("token from the future", early=True)
        return claims

    def _parse(self, token: str) -> Claims:
        """Header, signature, claims: nothing of the claims is read before the signature holds."""
        if len(token) > TOKEN_MAX:
            raise TokenRefused("token too long")
        try:
            signed, _, signature = token.encode("ascii").rpartition(b".")
            header, _, claims = signed.partition(b".")
            key = self._key(_decode_header(_unpacked(header)))
            if not verified(key, _unpacked(signature), signed):
                raise TokenRefused("signature")
            return self._judge(_decode_claims(_unpacked(claims)))
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise TokenRefused(f"not readable: {type(error).__name__}") from None

    def _key(self, header: Mapping[str, Any]) -> bytes:
        """The key that a header names. `crit` asks for extensions, and none is known here (RFC 7515,
        4.1.11).
        """
        if header.get("alg") not in ALGORITHMS or "crit" in header:
            raise TokenRefused("algorithm")
        kid, kind = header.get("kid"), header.get("typ")
        if not isinstance(kid, str) or not isinstance(kind, str) or kind.upper() != TYPE:
            raise TokenRefused("header without kid or of another type")
        key = self._keys.get(kid[:KID_CHARS])
        if key is None:
            raise TokenRefused("no such key")
        return key

    def _judge(self, claims: Mapping[str, Any]) -> Claims:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != self.issuer or self.audience not in audiences:
            raise TokenRefused("issuer or audience")
        user, device = claims.get("sub"), claims.get("dev")
        if not isinstance(user, str) or not ID.fullmatch(user) or reserved(user):
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
        not_before, revocation = claims.get("nbf", issued), claims.get("rev", 0)
        if not _is_time(not_before) or not _is_time(revocation):
            raise TokenRefused("times")
        holds_from = max(int(issued), int(not_before))
        return Claims(user, device, holds_from, int(expires), int(revocation), confirmation_key(claims))


def unread_revocation(now: int, skew_s: int) -> int:
    """The latest revocation that a token names whose signer reads no documents: one of before anything that a
    clock which differs by `skew_s` could have written by now. A user revoked since is refused, never let in.
    """
    return now - 1 - skew_s


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
    key = _unpacked(str(jwk.get("x")).encode("ascii"))
    if len(key) != KEY_BYTES:
        raise ValueError("cnf key: not 32 bytes")
    return key


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


def verified(key: bytes, signature: bytes, message: bytes) -> bool:
    """Is `signature` that of `key` (Ed25519) on `message`?"""
    if len(key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


def _unpacked(text: bytes) -> bytes:
    """Base64url without padding (RFC 7515, 2). Raises ValueError, also where bits are set that say nothing:
    one token has one text.
    """
    padded = text.translate(_STANDARD) + b"=" * (-len(text) % 4)
    found = binascii.a2b_base64(padded, strict_mode=True)
    if binascii.b2a_base64(found, newline=False) != padded:
        raise ValueError("not the shortest base64url")
    return found


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1 << 53
