"""GENERATED from frame/spec/protocol.toml by tools/generate.py. Do not edit."""


# Limits
cdef enum:
    VERSION = 1  # version byte of the preamble, of the signed key set and of signed answers of the LBS
    PREAMBLE_SIZE = 8  # bytes: the preamble, which is the Noise prologue
    HANDSHAKE_MIN = 48  # bytes: Noise message with an empty payload; a shorter one is malformed
    HANDSHAKE_MAX = 560  # bytes: Noise message 1 as a whole; a longer one closes the connection
    HANDSHAKE_PAYLOAD_MAX = 512  # bytes: payload of handshake message 1
    PREAUTH_MAX_RECORD = 768  # bytes: a whole record, length included, before AUTH succeeded; more closes
    # characters: a token: AUTH with it fits PREAUTH_MAX_RECORD with any suite, kind and device id
    TOKEN_MAX = 592
    RECORD_MAX_PLAINTEXT = 65503  # bytes: plaintext of a record: 65535 less the largest tag
    # bytes: senders gather frames up to this, unless one frame alone is larger
    RECORD_TARGET_PLAINTEXT = 16384
    MAX_BODY = 61440  # bytes: body of a frame as it stands on the wire; more closes with TOO_BIG
    MAX_RAW_BODY = 65536  # bytes: a compressed body's raw_len, checked before allocating
    MAX_RATIO = 100  # times: raw_len against the compressed size, checked before allocating
    REKEY_RECORDS = 16384  # records: a sender rekeys at the latest after this many records under one key
    REKEY_SECONDS = 900  # seconds: a sender rekeys at the latest after this much use of one key
    # seconds: under way: a server reads no key that is older than REKEY_SECONDS and this
    REKEY_GRACE_SECONDS = 3600
    TICKET_MAX = 255  # bytes: a ticket as it stands in front of message 1; its length is one byte
    TICKET_PSK = 32  # bytes: the secret that comes with a ticket: the psk of the handshake that it is used in
    RESUME_PAYLOAD_MAX = 256  # bytes: payload of message 1 behind a ticket; more closes
    # milliseconds: a ticket's age, told so exactly, lets the session come before the client's first record
    TICKET_FRESH_MS = 10000
    UPGRADE_MAX = 4096  # bytes: HTTP head of a WebSocket upgrade; more closes
    ADDRESS_MAX = 255  # bytes: one address of a GOAWAY
    GOAWAY_ADDRESSES = 8  # addresses: most addresses of one GOAWAY
    NAME_MAX = 64  # characters: user, group, room and device ids, and client message ids
    REPORT_MAX = 512  # bytes: body of a REPORT; a longer one is ignored

# First byte of a frame
cdef enum:
    FRAME_TYPE_MASK = 0x1F  # bits of the frame's type
    FLAG_COMPRESSED = 0x20  # Z: the body is uv raw_len and a zstd frame
    FLAG_ACK = 0x40  # A: an ack stands between the first byte and the length
    FLAG_RESERVED = 0x80  # must be 0
    TYPE_SKIPPABLE_FIRST = 24  # unknown types from here to 31 are skipped; others close with PROTOCOL_ERROR

# Frame types
cdef enum:
    FRAME_PING = 1  # keep-alive; the sender may announce its next interval
    FRAME_PONG = 2  # answer to PING; a changed revision announces a POLICY
    FRAME_ACK = 3  # carries an ack (flag A) when nothing else is to be sent
    FRAME_AUTH = 4  # first frame of a client: who it is, bound to this handshake
    FRAME_AUTH_OK = 5  # the session is live
    FRAME_MSG = 6  # a message that must arrive; counted by acks
    FRAME_EVENT = 7  # droppable, not acked
    FRAME_SEND = 8  # a message to a user, a group or a room
    FRAME_SEND_ACK = 9  # the message is stored, or why not
    FRAME_CALL = 10  # a request to the service
    FRAME_RETURN = 11  # the result of a CALL
    FRAME_POLICY = 12  # heartbeat and reconnect policy
    FRAME_REKEY = 13  # last frame of a record: the next record of this direction uses the next key
    FRAME_TICKET = 14  # with this the session is taken up again; replaces the one before
    FRAME_GOAWAY = 15  # leave soon: to these addresses, else as the code says
    FRAME_CLOSE = 16  # the last frame of a connection
    FRAME_ERROR = 17  # an error tied to no request; the connection goes on
    FRAME_RESUME = 18  # never sent: a session is taken up in the handshake
    FRAME_RESUME_OK = 19  # the session goes on; the MSG frames first to last follow
    FRAME_RESUME_FAIL = 20  # the session cannot go on; log in, then sync
    FRAME_REPORT = 24  # what network the client is on, and how its last connection ended
    # a client wishes: 0 to be sent it, 1 to be sent what is compressed by it; the server sends one
    FRAME_DICTIONARY = 25
    FRAME_PADDING = 31  # ignored

# Bits of the preamble's flags
cdef enum:
    PREAMBLE_ZSTD = 1  # the client accepts compressed bodies
    # the client was logged in before and comes back; a node may admit those sooner than newcomers
    PREAMBLE_KNOWN = 2

# Handshake patterns
cdef enum:
    PATTERN_NK = 1  # full handshake with a known server key
    PATTERN_NKPSK0 = 2  # handshake with a ticket and a known server key
    PATTERN_NNPSK0 = 3  # handshake with a ticket alone (key id 0), for a server that asked for it

# Cipher suites
cdef enum:
    SUITE_CHACHAPOLY = 1  # transport ChaCha20-Poly1305; nonce 4 zero bytes, u64 little-endian n
    SUITE_AESGCM = 2  # transport AES-256-GCM; nonce 4 zero bytes, u64 big-endian n
    # transport AEGIS-128L under the first 16 key bytes; nonce 8 zero bytes, u64 little-endian n
    SUITE_AEGIS128L = 3

# Codes of a REJECT in the place of handshake message 2
cdef enum:
    REJECT_BAD_VERSION = 1  # this protocol version is not spoken here
    REJECT_UNSUPPORTED = 2  # pattern, suite or flags are not served
    REJECT_UNKNOWN_KEY = 3  # no such key id; data = the signed key set, verify it and try again
    REJECT_OVERLOADED = 4  # too many come at once; data = uv retry_after_ms, uv jitter_ms
    REJECT_RESUME_LITE = 5  # this ticket is taken with NNPSK0 only at the moment: try again with it, once
    REJECT_TICKET_REFUSED = 6  # the ticket is over, or cannot be opened here: forget it, use NK

# TLV tags in the payload of message 1 behind a ticket
cdef enum:
    # uv: how many MSG frames of the session were received; without it only a login by ticket is wanted
    FLIGHT_RESUME_SEEN = 1
    # uv: milliseconds since the ticket was received, by the client's own running clock
    FLIGHT_TICKET_AGE_MS = 2

# Flags of RESUME_OK
cdef enum:
    RESUMED_EVENTS_LOST = 1  # events were dropped meanwhile: ask again for what sync does not tell
    RESUMED_ROOMS_LEFT = 2  # the session is in no room any more: join again

# Reasons of a RESUME_FAIL
cdef enum:
    RESUME_EPOCH = 1  # the node began anew; the session is gone
    RESUME_OVERFLOW = 2  # more came than is kept, or some was taken back
    RESUME_EXPIRED = 3  # the session has ended
    RESUME_REVOKED = 4  # the ticket's rights were taken back: log in with a token
    RESUME_ELSEWHERE = 5  # the session is at another node, which did not answer in time

# TLV tags in the payload of handshake message 2
cdef enum:
    TLV_SERVER_TIME_MS = 1  # uv: milliseconds since 1970, UTC
    TLV_NODE_NAME = 2  # utf8: the gateway's name
    # uv: id of the dictionary that bodies are compressed by for clients that hold it; missing: none
    TLV_DICTIONARY = 5

# Kinds of AUTH
cdef enum:
    AUTH_BEARER = 1  # binding = HMAC-SHA256(SHA-256(token), "qw1 auth" || handshake hash), 32 bytes
    AUTH_KEY_BOUND = 2  # binding = Ed25519 signature by the token's cnf key over the same bytes, 64 bytes
    AUTH_TICKET = 3  # the ticket's own; no token, binding = HMAC-SHA256(psk, "qw1 auth" || handshake hash)

# State bits of a PING
cdef enum:
    PING_BACKGROUND = 1  # the app is not in the foreground
    PING_DOZE = 2  # the system defers timers
    PING_LATE_ALARM = 4  # this ping was due earlier
    PING_LOW_BATTERY = 8  # the battery is low

# Why the last connection of a REPORT ended
cdef enum:
    DEATH_UNKNOWN = 0  # not known
    DEATH_PONG_TIMEOUT = 1  # a PING stayed without an answer
    DEATH_RESET = 2  # the connection was reset
    DEATH_END_OF_STREAM = 3  # it ended without a CLOSE
    DEATH_NETWORK_CHANGED = 4  # the device went to another network
    DEATH_CLOSED_HERE = 5  # the client closed it
    DEATH_CLOSED_THERE = 6  # the server closed it

# Platforms of a device
cdef enum:
    PLATFORM_UNKNOWN = 0  # not said
    PLATFORM_ANDROID = 1  # Android
    PLATFORM_IOS = 2  # iOS
    PLATFORM_WEB = 3  # browser
    PLATFORM_WINDOWS = 4  # Windows
    PLATFORM_MACOS = 5  # macOS
    PLATFORM_LINUX = 6  # Linux
    PLATFORM_SERVER = 7  # another server

# Codes of CLOSE and GOAWAY, see CLOSE_RANGES
cdef enum:
    CLOSE_NORMAL = 1000  # done
    CLOSE_IDLE_TIMEOUT = 1001  # nothing was read for too long
    CLOSE_MAX_AGE = 1002  # the connection reached its greatest age
    CLOSE_OVERLOADED = 2000  # the node takes no more now
    CLOSE_SLOW_CONSUMER = 2001  # the out queue reached its hard limit; sync what is missing
    CLOSE_INTERNAL = 2002  # a fault of the server
    CLOSE_RATE_LIMITED = 2003  # too many frames or bytes from this client
    CLOSE_AUTH_UNAVAILABLE = 2004  # tokens cannot be checked now
    CLOSE_DRAINING = 3000  # the node is going away
    CLOSE_WRONG_NODE = 3001  # this user belongs to another node
    CLOSE_PROTOCOL_ERROR = 4000  # the peer broke the protocol
    CLOSE_AUTH_FAILED = 4001  # token or binding is not valid
    CLOSE_TOKEN_EXPIRED = 4002  # the token is over; get a new one
    CLOSE_SUPERSEDED = 4003  # the same device logged in anew
    CLOSE_KICKED = 4004  # removed by a login policy or an administrator
    CLOSE_ACCOUNT_DISABLED = 4005  # the account is disabled
    CLOSE_TOO_BIG = 4006  # a frame or body is above its limit
    CLOSE_AUTH_TIMEOUT = 4007  # no AUTH in time
    CLOSE_UNSUPPORTED = 4008  # the peer asked for what is not served

# Codes of SEND_ACK, RETURN and ERROR
cdef enum:
    CODE_OK = 0  # done
    CODE_MALFORMED = 400  # the payload cannot be decoded
    CODE_FORBIDDEN = 403  # not allowed
    CODE_NOT_FOUND = 404  # no such thing or method
    CODE_CONFLICT = 409  # it exists already, or changed meanwhile
    CODE_INVALID = 414  # a parameter is not valid
    CODE_RATE_LIMITED = 416  # too often; the detail may carry retry_after_ms
    CODE_DUPLICATE = 417  # the same client_id with other content
    CODE_ACCOUNT_DISABLED = 422  # the account is disabled
    CODE_MUTED = 423  # the sender is muted
    CODE_INTERNAL = 500  # a fault of the server
    CODE_UNAVAILABLE = 503  # not now; try again
    CODE_TIMEOUT = 504  # the service did not answer in time; the outcome is unknown
    CODE_RECALL_WINDOW = 508  # too late to recall
    CODE_GROUP_FULL = 801  # the group is full
    CODE_NOT_GROUP_MEMBER = 802  # not a member of the group
    CODE_GROUP_NOT_FOUND = 803  # no such group
    CODE_BLACKLISTED = 7101  # the receiver blocks the sender
    CODE_NOT_IN_ROOM = 13001  # join the room first
    CODE_ROOM_NOT_FOUND = 13002  # no such room
    CODE_ROOM_BLACKLISTED = 13003  # barred from the room
    CODE_ROOM_MUTED = 13004  # muted in the room
    CODE_ROOM_MUTED_ALL = 13005  # the room is muted

# Kinds of EVENT
cdef enum:
    EVENT_NOTICE = 2  # [name str, data map]
    EVENT_SYNC = 3  # [conversation str|nil, last_seq]: something may be missing, pull it
    EVENT_PRESENCE = 4  # who came or went
    EVENT_ROOM_MESSAGES = 5  # what was said in one chatroom, one message or many

# Shape bits of a message in EVENT ROOM_MESSAGES
cdef enum:
    ROOM_TEXT = 1  # content is the text of a message of type 0 with nothing else to it
    ROOM_SEQ = 2  # the message has a seq

# Types of a message
cdef enum:
    MESSAGE_TEXT = 0  # {"text": str}
    MESSAGE_IMAGE = 1  # image
    MESSAGE_AUDIO = 2  # audio
    MESSAGE_VIDEO = 3  # video
    MESSAGE_LOCATION = 4  # location
    MESSAGE_NOTIFICATION = 5  # notification
    MESSAGE_FILE = 6  # file
    MESSAGE_TIP = 10  # tip
    MESSAGE_CUSTOM = 100  # whatever the application agrees on

# Flag bits of a Message
cdef enum:
    MESSAGE_FLAG_RECALLED = 1  # the sender took it back; the body is gone
    MESSAGE_FLAG_EDITED = 2  # the body was changed later
    MESSAGE_FLAG_FILTERED = 4  # placeholder of a message withheld by moderation

# Sizes of the suites, bytes
cdef enum:
    TAG_CHACHAPOLY = 16  # tag bytes
    KEY_CHACHAPOLY = 32  # key bytes
    NONCE_CHACHAPOLY = 12  # nonce bytes
    TAG_AESGCM = 16  # tag bytes
    KEY_AESGCM = 32  # key bytes
    NONCE_AESGCM = 12  # nonce bytes
    TAG_AEGIS128L = 32  # tag bytes
    KEY_AEGIS128L = 16  # key bytes
    NONCE_AEGIS128L = 16  # nonce bytes
    TAG_MAX = 32  # the largest tag of any suite
