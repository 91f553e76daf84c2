// GENERATED from frame/spec/protocol.toml by tools/generate.py. Do not edit.

export const MAGIC = "QW";
export const WS_PATH = "/qw1";
export const WS_KNOWN = "known";
export const WS_SUBPROTOCOL = "qw1";
export const AUTH_CONTEXT = "qw1 auth";
export const KEY_SET_MAGIC = "QWKS";
export const LBS_MAGIC = "QWLB";
export const ID_PATTERN = "[A-Za-z0-9_.@-]{1,64}";
export const USER_PREFIX = "u/";
export const GROUP_PREFIX = "g/";
export const ROOM_PREFIX = "r/";
export const SINGLE_PREFIX = "s/";
export const ROOT_PREFIX = "qwroot1.";
export const VERSION = 1;
export const PREAMBLE_SIZE = 8;
export const HANDSHAKE_MIN = 48;
export const HANDSHAKE_MAX = 560;
export const HANDSHAKE_PAYLOAD_MAX = 512;
export const PREAUTH_MAX_RECORD = 768;
export const TOKEN_MAX = 592;
export const RECORD_MAX_PLAINTEXT = 65503;
export const RECORD_TARGET_PLAINTEXT = 16384;
export const MAX_BODY = 61440;
export const MAX_RAW_BODY = 65536;
export const MAX_RATIO = 100;
export const REKEY_RECORDS = 16384;
export const REKEY_SECONDS = 900;
export const REKEY_GRACE_SECONDS = 3600;
export const TICKET_MAX = 255;
export const TICKET_PSK = 32;
export const RESUME_PAYLOAD_MAX = 256;
export const TICKET_FRESH_MS = 10000;
export const UPGRADE_MAX = 4096;
export const ADDRESS_MAX = 255;
export const GOAWAY_ADDRESSES = 8;
export const NAME_MAX = 64;
export const REPORT_MAX = 512;
export const FRAME_TYPE_MASK = 0x1F;
export const FLAG_COMPRESSED = 0x20;
export const FLAG_ACK = 0x40;
export const FLAG_RESERVED = 0x80;
export const TYPE_SKIPPABLE_FIRST = 24;

/** Frame types. */
export const FrameType = Object.freeze({
  PING: 1,  // keep-alive; the sender may announce its next interval
  PONG: 2,  // answer to PING; a changed revision announces a POLICY
  ACK: 3,  // carries an ack (flag A) when nothing else is to be sent
  AUTH: 4,  // first frame of a client: who it is, bound to this handshake
  AUTH_OK: 5,  // the session is live
  MSG: 6,  // a message that must arrive; counted by acks
  EVENT: 7,  // droppable, not acked
  SEND: 8,  // a message to a user, a group or a room
  SEND_ACK: 9,  // the message is stored, or why not
  CALL: 10,  // a request to the service
  RETURN: 11,  // the result of a CALL
  POLICY: 12,  // heartbeat and reconnect policy
  REKEY: 13,  // last frame of a record: the next record of this direction uses the next key
  TICKET: 14,  // with this the session is taken up again; replaces the one before
  GOAWAY: 15,  // leave soon: to these addresses, else as the code says
  CLOSE: 16,  // the last frame of a connection
  ERROR: 17,  // an error tied to no request; the connection goes on
  RESUME: 18,  // never sent: a session is taken up in the handshake
  RESUME_OK: 19,  // the session goes on; the MSG frames first to last follow
  RESUME_FAIL: 20,  // the session cannot go on; log in, then sync
  REPORT: 24,  // what network the client is on, and how its last connection ended
  // a client wishes: 0 to be sent it, 1 to be sent what is compressed by it; the server sends one
  DICTIONARY: 25,
  PADDING: 31,  // ignored
});

/** Bits of the preamble's flags. */
export const PreambleFlag = Object.freeze({
  ZSTD: 1,  // the client accepts compressed bodies
  KNOWN: 2,  // the client was logged in before and comes back; a node may admit those sooner than newcomers
});

/** Handshake patterns. */
export const Pattern = Object.freeze({
  NK: 1,  // full handshake with a known server key
  NKPSK0: 2,  // handshake with a ticket and a known server key
  NNPSK0: 3,  // handshake with a ticket alone (key id 0), for a server that asked for it
});

/** Cipher suites. */
export const Suite = Object.freeze({
  CHACHAPOLY: 1,  // transport ChaCha20-Poly1305; nonce 4 zero bytes, u64 little-endian n
  AESGCM: 2,  // transport AES-256-GCM; nonce 4 zero bytes, u64 big-endian n
  AEGIS128L: 3,  // transport AEGIS-128L under the first 16 key bytes; nonce 8 zero bytes, u64 little-endian n
});

/** Codes of a REJECT in the place of handshake message 2. */
export const Reject = Object.freeze({
  BAD_VERSION: 1,  // this protocol version is not spoken here
  UNSUPPORTED: 2,  // pattern, suite or flags are not served
  UNKNOWN_KEY: 3,  // no such key id; data = the signed key set, verify it and try again
  OVERLOADED: 4,  // too many come at once; data = uv retry_after_ms, uv jitter_ms
  RESUME_LITE: 5,  // this ticket is taken with NNPSK0 only at the moment: try again with it, once
  TICKET_REFUSED: 6,  // the ticket is over, or cannot be opened here: forget it, use NK
});

/** TLV tags in the payload of message 1 behind a ticket. */
export const FlightTlv = Object.freeze({
  // uv: how many MSG frames of the session were received; without it only a login by ticket is wanted
  RESUME_SEEN: 1,
  TICKET_AGE_MS: 2,  // uv: milliseconds since the ticket was received, by the client's own running clock
});

/** Flags of RESUME_OK. */
export const ResumeFlag = Object.freeze({
  EVENTS_LOST: 1,  // events were dropped meanwhile: ask again for what sync does not tell
  ROOMS_LEFT: 2,  // the session is in no room any more: join again
});

/** Reasons of a RESUME_FAIL. */
export const ResumeReason = Object.freeze({
  EPOCH: 1,  // the node began anew; the session is gone
  OVERFLOW: 2,  // more came than is kept, or some was taken back
  EXPIRED: 3,  // the session has ended
  REVOKED: 4,  // the ticket's rights were taken back: log in with a token
  ELSEWHERE: 5,  // the session is at another node, which did not answer in time
});

/** TLV tags in the payload of handshake message 2. */
export const HelloTlv = Object.freeze({
  SERVER_TIME_MS: 1,  // uv: milliseconds since 1970, UTC
  NODE_NAME: 2,  // utf8: the gateway's name
  // uv: id of the dictionary that bodies are compressed by for clients that hold it; missing: none
  DICTIONARY: 5,
});

/** Kinds of AUTH. */
export const AuthKind = Object.freeze({
  BEARER: 1,  // binding = HMAC-SHA256(SHA-256(token), "qw1 auth" || handshake hash), 32 bytes
  KEY_BOUND: 2,  // binding = Ed25519 signature by the token's cnf key over the same bytes, 64 bytes
  TICKET: 3,  // the ticket's own; no token, binding = HMAC-SHA256(psk, "qw1 auth" || handshake hash)
});

/** State bits of a PING. */
export const PingState = Object.freeze({
  BACKGROUND: 1,  // the app is not in the foreground
  DOZE: 2,  // the system defers timers
  LATE_ALARM: 4,  // this ping was due earlier
  LOW_BATTERY: 8,  // the battery is low
});

/** Why the last connection of a REPORT ended. */
export const DeathCause = Object.freeze({
  UNKNOWN: 0,  // not known
  PONG_TIMEOUT: 1,  // a PING stayed without an answer
  RESET: 2,  // the connection was reset
  END_OF_STREAM: 3,  // it ended without a CLOSE
  NETWORK_CHANGED: 4,  // the device went to another network
  CLOSED_HERE: 5,  // the client closed it
  CLOSED_THERE: 6,  // the server closed it
});

/** Platforms of a device. */
export const Platform = Object.freeze({
  UNKNOWN: 0,  // not said
  ANDROID: 1,  // Android
  IOS: 2,  // iOS
  WEB: 3,  // browser
  WINDOWS: 4,  // Windows
  MACOS: 5,  // macOS
  LINUX: 6,  // Linux
  SERVER: 7,  // another server
});

/** Codes of CLOSE and GOAWAY, see CLOSE_RANGES. */
export const CloseCode = Object.freeze({
  NORMAL: 1000,  // done
  IDLE_TIMEOUT: 1001,  // nothing was read for too long
  MAX_AGE: 1002,  // the connection reached its greatest age
  OVERLOADED: 2000,  // the node takes no more now
  SLOW_CONSUMER: 2001,  // the out queue reached its hard limit; sync what is missing
  INTERNAL: 2002,  // a fault of the server
  RATE_LIMITED: 2003,  // too many frames or bytes from this client
  AUTH_UNAVAILABLE: 2004,  // tokens cannot be checked now
  DRAINING: 3000,  // the node is going away
  WRONG_NODE: 3001,  // this user belongs to another node
  PROTOCOL_ERROR: 4000,  // the peer broke the protocol
  AUTH_FAILED: 4001,  // token or binding is not valid
  TOKEN_EXPIRED: 4002,  // the token is over; get a new one
  SUPERSEDED: 4003,  // the same device logged in anew
  KICKED: 4004,  // removed by a login policy or an administrator
  ACCOUNT_DISABLED: 4005,  // the account is disabled
  TOO_BIG: 4006,  // a frame or body is above its limit
  AUTH_TIMEOUT: 4007,  // no AUTH in time
  UNSUPPORTED: 4008,  // the peer asked for what is not served
});

/** Codes of SEND_ACK, RETURN and ERROR. */
export const RequestCode = Object.freeze({
  OK: 0,  // done
  MALFORMED: 400,  // the payload cannot be decoded
  FORBIDDEN: 403,  // not allowed
  NOT_FOUND: 404,  // no such thing or method
  CONFLICT: 409,  // it exists already, or changed meanwhile
  INVALID: 414,  // a parameter is not valid
  RATE_LIMITED: 416,  // too often; the detail may carry retry_after_ms
  DUPLICATE: 417,  // the same client_id with other content
  ACCOUNT_DISABLED: 422,  // the account is disabled
  MUTED: 423,  // the sender is muted
  INTERNAL: 500,  // a fault of the server
  UNAVAILABLE: 503,  // not now; try again
  TIMEOUT: 504,  // the service did not answer in time; the outcome is unknown
  RECALL_WINDOW: 508,  // too late to recall
  GROUP_FULL: 801,  // the group is full
  NOT_GROUP_MEMBER: 802,  // not a member of the group
  GROUP_NOT_FOUND: 803,  // no such group
  BLACKLISTED: 7101,  // the receiver blocks the sender
  NOT_IN_ROOM: 13001,  // join the room first
  ROOM_NOT_FOUND: 13002,  // no such room
  ROOM_BLACKLISTED: 13003,  // barred from the room
  ROOM_MUTED: 13004,  // muted in the room
  ROOM_MUTED_ALL: 13005,  // the room is muted
});

/** Kinds of EVENT. */
export const EventKind = Object.freeze({
  NOTICE: 2,  // [name str, data map]
  SYNC: 3,  // [conversation str|nil, last_seq]: something may be missing, pull it
  PRESENCE: 4,  // who came or went
  ROOM_MESSAGES: 5,  // what was said in one chatroom, one message or many
});

/** Shape bits of a message in EVENT ROOM_MESSAGES. */
export const RoomShape = Object.freeze({
  TEXT: 1,  // content is the text of a message of type 0 with nothing else to it
  SEQ: 2,  // the message has a seq
});

/** Types of a message. */
export const MessageType = Object.freeze({
  TEXT: 0,  // {"text": str}
  IMAGE: 1,  // image
  AUDIO: 2,  // audio
  VIDEO: 3,  // video
  LOCATION: 4,  // location
  NOTIFICATION: 5,  // notification
  FILE: 6,  // file
  TIP: 10,  // tip
  CUSTOM: 100,  // whatever the application agrees on
});

/** Flag bits of a Message. */
export const MessageFlag = Object.freeze({
  RECALLED: 1,  // the sender took it back; the body is gone
  EDITED: 2,  // the body was changed later
  FILTERED: 4,  // placeholder of a message withheld by moderation
});

/** [first, last, what a client does] */
export const CLOSE_RANGES = Object.freeze([
  [1000, 1999, "at_once"],
  [2000, 2999, "later"],
  [3000, 3999, "elsewhere"],
  [4000, 4999, "never"],
]);
