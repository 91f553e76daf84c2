"""QW1 on the wire. GENERATED from frame/spec/protocol.toml by tools/generate.py. Do not edit."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

MAGIC: Final = "QW"  # first bytes of a native connection
WS_PATH: Final = "/qw1"  # path of the WebSocket upgrade
# query of the upgrade of a client that was logged in before: what KNOWN is in a preamble
WS_KNOWN: Final = "known"
WS_SUBPROTOCOL: Final = "qw1"  # subprotocol, echoed when the client offers it
AUTH_CONTEXT: Final = "qw1 auth"  # stands before the handshake hash in an AUTH binding
KEY_SET_MAGIC: Final = "QWKS"  # first bytes of a signed key set
LBS_MAGIC: Final = "QWLB"  # first bytes of a signed answer of the LBS
# regular expression of a user, group, room or device id as a whole
ID_PATTERN: Final = "[A-Za-z0-9_.@-]{1,64}"
USER_PREFIX: Final = "u/"  # and a user id: the target that is this user, the topic of the user's connections
GROUP_PREFIX: Final = "g/"  # and a group id: target, topic and conversation
ROOM_PREFIX: Final = "r/"  # and a room id: target, topic and conversation
# and two user ids, `:` between, the bytewise smaller first: a conversation of two
SINGLE_PREFIX: Final = "s/"
# text form of the Ed25519 root public key: this, then base64url without padding
ROOT_PREFIX: Final = "qwroot1."

VERSION: Final = 1  # version byte of the preamble, of the signed key set and of signed answers of the LBS
PREAMBLE_SIZE: Final = 8  # bytes: the preamble, which is the Noise prologue
HANDSHAKE_MIN: Final = 48  # bytes: Noise message with an empty payload; a shorter one is malformed
HANDSHAKE_MAX: Final = 560  # bytes: Noise message 1 as a whole; a longer one closes the connection
HANDSHAKE_PAYLOAD_MAX: Final = 512  # bytes: payload of handshake message 1
PREAUTH_MAX_RECORD: Final = 768  # bytes: a whole record, length included, before AUTH succeeded; more closes
# characters: a token: AUTH with it fits PREAUTH_MAX_RECORD with any suite, kind and device id
TOKEN_MAX: Final = 592
RECORD_MAX_PLAINTEXT: Final = 65503  # bytes: plaintext of a record: 65535 less the largest tag
# bytes: senders gather frames up to this, unless one frame alone is larger
RECORD_TARGET_PLAINTEXT: Final = 16384
MAX_BODY: Final = 61440  # bytes: body of a frame as it stands on the wire; more closes with TOO_BIG
MAX_RAW_BODY: Final = 65536  # bytes: a compressed body's raw_len, checked before allocating
MAX_RATIO: Final = 100  # times: raw_len against the compressed size, checked before allocating
REKEY_RECORDS: Final = 16384  # records: a sender rekeys at the latest after this many records under one key
REKEY_SECONDS: Final = 900  # seconds: a sender rekeys at the latest after this much use of one key
# seconds: under way: a server reads no key that is older than REKEY_SECONDS and this
REKEY_GRACE_SECONDS: Final = 3600
TICKET_MAX: Final = 255  # bytes: a ticket as it stands in front of message 1; its length is one byte
# bytes: the secret that comes with a ticket: the psk of the handshake that it is used in
TICKET_PSK: Final = 32
RESUME_PAYLOAD_MAX: Final = 256  # bytes: payload of message 1 behind a ticket; more closes
# milliseconds: a ticket's age, told so exactly, lets the session come before the client's first record
TICKET_FRESH_MS: Final = 10000
UPGRADE_MAX: Final = 4096  # bytes: HTTP head of a WebSocket upgrade; more closes
ADDRESS_MAX: Final = 255  # bytes: one address of a GOAWAY
GOAWAY_ADDRESSES: Final = 8  # addresses: most addresses of one GOAWAY
NAME_MAX: Final = 64  # characters: user, group, room and device ids, and client message ids
REPORT_MAX: Final = 512  # bytes: body of a REPORT; a longer one is ignored

FRAME_TYPE_MASK: Final = 0x1F  # bits of the frame's type
FLAG_COMPRESSED: Final = 0x20  # Z: the body is uv raw_len and a zstd frame
FLAG_ACK: Final = 0x40  # A: an ack stands between the first byte and the length
FLAG_RESERVED: Final = 0x80  # must be 0
# unknown types from here to 31 are skipped; others close with PROTOCOL_ERROR
TYPE_SKIPPABLE_FIRST: Final = 24


class FrameType(IntEnum):
    """Frame types."""

    PING = 1  # keep-alive; the sender may announce its next interval
    PONG = 2  # answer to PING; a changed revision announces a POLICY
    ACK = 3  # carries an ack (flag A) when nothing else is to be sent
    AUTH = 4  # first frame of a client: who it is, bound to this handshake
    AUTH_OK = 5  # the session is live
    MSG = 6  # a message that must arrive; counted by acks
    EVENT = 7  # droppable, not acked
    SEND = 8  # a message to a user, a group or a room
    SEND_ACK = 9  # the message is stored, or why not
    CALL = 10  # a request to the service
    RETURN = 11  # the result of a CALL
    POLICY = 12  # heartbeat and reconnect policy
    REKEY = 13  # last frame of a record: the next record of this direction uses the next key
    TICKET = 14  # with this the session is taken up again; replaces the one before
    GOAWAY = 15  # leave soon: to these addresses, else as the code says
    CLOSE = 16  # the last frame of a connection
    ERROR = 17  # an error tied to no request; the connection goes on
    RESUME = 18  # never sent: a session is taken up in the handshake
    RESUME_OK = 19  # the session goes on; the MSG frames first to last follow
    RESUME_FAIL = 20  # the session cannot go on; log in, then sync
    REPORT = 24  # what network the client is on, and how its last connection ended
    # a client wishes: 0 to be sent it, 1 to be sent what is compressed by it; the server sends one
    DICTIONARY = 25
    PADDING = 31  # ignored


class PreambleFlag(IntFlag):
    """Bits of the preamble's flags."""

    ZSTD = 1  # the client accepts compressed bodies
    KNOWN = 2  # the client was logged in before and comes back; a node may admit those sooner than newcomers


class Pattern(IntEnum):
    """Handshake patterns."""

    NK = 1  # full handshake with a known server key
    NKPSK0 = 2  # handshake with a ticket and a known server key
    NNPSK0 = 3  # handshake with a ticket alone (key id 0), for a server that asked for it


class Suite(IntEnum):
    """Cipher suites."""

    CHACHAPOLY = 1  # transport ChaCha20-Poly1305; nonce 4 zero bytes, u64 little-endian n
    AESGCM = 2  # transport AES-256-GCM; nonce 4 zero bytes, u64 big-endian n
    # transport AEGIS-128L under the first 16 key bytes; nonce 8 zero bytes, u64 little-endian n
    AEGIS128L = 3


class Reject(IntEnum):
    """Codes of a REJECT in the place of handshake message 2."""

    BAD_VERSION = 1  # this protocol version is not spoken here
    UNSUPPORTED = 2  # pattern, suite or flags are not served
    UNKNOWN_KEY = 3  # no such key id; data = the signed key set, verify it and try again
    OVERLOADED = 4  # too many come at once; data = uv retry_after_ms, uv jitter_ms
    RESUME_LITE = 5  # this ticket is taken with NNPSK0 only at the moment: try again with it, once
    TICKET_REFUSED = 6  # the ticket is over, or cannot be opened here: forget it, use NK


class FlightTlv(IntEnum):
    """TLV tags in the payload of message 1 behind a ticket."""

    # uv: how many MSG frames of the session were received; without it only a login by ticket is wanted
    RESUME_SEEN = 1
    TICKET_AGE_MS = 2  # uv: milliseconds since the ticket was received, by the client's own running clock


class ResumeFlag(IntFlag):
    """Flags of RESUME_OK."""

    EVENTS_LOST = 1  # events were dropped meanwhile: ask again for what sync does not tell
    ROOMS_LEFT = 2  # the session is in no room any more: join again


class ResumeReason(IntEnum):
    """Reasons of a RESUME_FAIL."""

    EPOCH = 1  # the node began anew; the session is gone
    OVERFLOW = 2  # more came than is kept, or some was taken back
    EXPIRED = 3  # the session has ended
    REVOKED = 4  # the ticket's rights were taken back: log in with a token
    ELSEWHERE = 5  # the session is at another node, which did not answer in time


class HelloTlv(IntEnum):
    """TLV tags in the payload of handshake message 2."""

    SERVER_TIME_MS = 1  # uv: milliseconds since 1970, UTC
    NODE_NAME = 2  # utf8: the gateway's name
    # uv: id of the dictionary that bodies are compressed by for clients that hold it; missing: none
    DICTIONARY = 5


class AuthKind(IntEnum):
    """Kinds of AUTH."""

    BEARER = 1  # binding = HMAC-SHA256(SHA-256(token), "qw1 auth" || handshake hash), 32 bytes
    KEY_BOUND = 2  # binding = Ed25519 signature by the token's cnf key over the same bytes, 64 bytes
    TICKET = 3  # the ticket's own; no token, binding = HMAC-SHA256(psk, "qw1 auth" || handshake hash)


class PingState(IntFlag):
    """State bits of a PING."""

    BACKGROUND = 1  # the app is not in the foreground
    DOZE = 2  # the system defers timers
    LATE_ALARM = 4  # this ping was due earlier
    LOW_BATTERY = 8  # the battery is low


class DeathCause(IntEnum):
    """Why the last connection of a REPORT ended."""

    UNKNOWN = 0  # not known
    PONG_TIMEOUT = 1  # a PING stayed without an answer
    RESET = 2  # the connection was reset
    END_OF_STREAM = 3  # it ended without a CLOSE
    NETWORK_CHANGED = 4  # the device went to another network
    CLOSED_HERE = 5  # the client closed it
    CLOSED_THERE = 6  # the server closed it


class Platform(IntEnum):
    """Platforms of a device."""

    UNKNOWN = 0  # not said
    ANDROID = 1  # Android
    IOS = 2  # iOS
    WEB = 3  # browser
    WINDOWS = 4  # Windows
    MACOS = 5  # macOS
    LINUX = 6  # Linux
    SERVER = 7  # another server


class CloseCode(IntEnum):
    """Codes of CLOSE and GOAWAY, see CLOSE_RANGES."""

    NORMAL = 1000  # done
    IDLE_TIMEOUT = 1001  # nothing was read for too long
    MAX_AGE = 1002  # the connection reached its greatest age
    OVERLOADED = 2000  # the node takes no more now
    SLOW_CONSUMER = 2001  # the out queue reached its hard limit; sync what is missing
    INTERNAL = 2002  # a fault of the server
    RATE_LIMITED = 2003  # too many frames or bytes from this client
    AUTH_UNAVAILABLE = 2004  # tokens cannot be checked now
    DRAINING = 3000  # the node is going away
    WRONG_NODE = 3001  # this user belongs to another node
    PROTOCOL_ERROR = 4000  # the peer broke the protocol
    AUTH_FAILED = 4001  # token or binding is not valid
    TOKEN_EXPIRED = 4002  # the token is over; get a new one
    SUPERSEDED = 4003  # the same device logged in anew
    KICKED = 4004  # removed by a login policy or an administrator
    ACCOUNT_DISABLED = 4005  # the account is disabled
    TOO_BIG = 4006  # a frame or body is above its limit
    AUTH_TIMEOUT = 4007  # no AUTH in time
    UNSUPPORTED = 4008  # the peer asked for what is not served


class RequestCode(IntEnum):
    """Codes of SEND_ACK, RETURN and ERROR."""

    OK = 0  # done
    MALFORMED = 400  # the payload cannot be decoded
    FORBIDDEN = 403  # not allowed
    NOT_FOUND = 404  # no such thing or method
    CONFLICT = 409  # it exists already, or changed meanwhile
    INVALID = 414  # a parameter is not valid
    RATE_LIMITED = 416  # too often; the detail may carry retry_after_ms
    DUPLICATE = 417  # the same client_id with other content
    ACCOUNT_DISABLED = 422  # the account is disabled
    MUTED = 423  # the sender is muted
    INTERNAL = 500  # a fault of the server
    UNAVAILABLE = 503  # not now; try again
    TIMEOUT = 504  # the service did not answer in time; the outcome is unknown
    RECALL_WINDOW = 508  # too late to recall
    GROUP_FULL = 801  # the group is full
    NOT_GROUP_MEMBER = 802  # not a member of the group
    GROUP_NOT_FOUND = 803  # no such group
    BLACKLISTED = 7101  # the receiver blocks the sender
    NOT_IN_ROOM = 13001  # join the room first
    ROOM_NOT_FOUND = 13002  # no such room
    ROOM_BLACKLISTED = 13003  # barred from the room
    ROOM_MUTED = 13004  # muted in the room
    ROOM_MUTED_ALL = 13005  # the room is muted


class EventKind(IntEnum):
    """Kinds of EVENT."""

    NOTICE = 2  # [name str, data map]
    SYNC = 3  # [conversation str|nil, last_seq]: something may be missing, pull it
    PRESENCE = 4  # who came or went
    ROOM_MESSAGES = 5  # what was said in one chatroom, one message or many


class RoomShape(IntFlag):
    """Shape bits of a message in EVENT ROOM_MESSAGES."""

    TEXT = 1  # content is the text of a message of type 0 with nothing else to it
    SEQ = 2  # the message has a seq


class MessageType(IntEnum):
    """Types of a message."""

    TEXT = 0  # {"text": str}
    IMAGE = 1  # image
    AUDIO = 2  # audio
    VIDEO = 3  # video
    LOCATION = 4  # location
    NOTIFICATION = 5  # notification
    FILE = 6  # file
    TIP = 10  # tip
    CUSTOM = 100  # whatever the application agrees on


class MessageFlag(IntFlag):
    """Flag bits of a Message."""

    RECALLED = 1  # the sender took it back; the body is gone
    EDITED = 2  # the body was changed later
    FILTERED = 4  # placeholder of a message withheld by moderation


# (first, last, what a client does)
CLOSE_RANGES: Final = (
    (1000, 1999, "at_once"),
    (2000, 2999, "later"),
    (3000, 3999, "elsewhere"),
    (4000, 4999, "never"),
)

TAG_BYTES: Final[dict[int, int]] = {Suite.CHACHAPOLY: 16, Suite.AESGCM: 16, Suite.AEGIS128L: 32}
KEY_BYTES: Final[dict[int, int]] = {Suite.CHACHAPOLY: 32, Suite.AESGCM: 32, Suite.AEGIS128L: 16}
NONCE_BYTES: Final[dict[int, int]] = {Suite.CHACHAPOLY: 12, Suite.AESGCM: 12, Suite.AEGIS128L: 16}
NOISE_NAME: Final[dict[int, str]] = {
    Suite.CHACHAPOLY: "Noise_NK_25519_ChaChaPoly_SHA256",
    Suite.AESGCM: "Noise_NK_25519_AESGCM_SHA256",
    Suite.AEGIS128L: "Noise_NK_25519_ChaChaPoly_SHA256",
}

# over all names and values here; the C modules must have been built with the same
CONSTANTS_MARK: Final = 0x06D95052
