/* The HTTP/1.1 upgrade of RFC 6455 section 4.2, and its answers.
 *
 * Syntax is strict (RFC 9112): CRLF only, no folded lines, no space before a colon, no control characters. A head that
 * is not HTTP/1.1 GET syntax is MALFORMED. A head that is, but may not be upgraded, is consumed with a status to refuse it by. */
#ifndef QW_HTTP_UPGRADE_H
#define QW_HTTP_UPGRADE_H

#include "frame/includes/codes.h"
#include "frame/includes/constants.h"
#include "frame/includes/sha1.h"

enum { QW_WS_KEY_SIZE = 24, QW_WS_ACCEPT_SIZE = 28, QW_U32_DIGITS = 10, QW_UPGRADE_RESPONSE_MAX = 256 };

typedef struct {
    int status;          /* 101; or 400, 404 (another path), 426 (no upgrade asked, or another version) */
    uint8_t key[QW_WS_KEY_SIZE]; /* Sec-WebSocket-Key as sent */
    uint8_t offers;      /* 1: the client offered subprotocols */
    uint8_t has_qw1;     /* 1: "qw1" is among them */
    uint8_t known;       /* 1: the query says that the client was logged in before */
    const uint8_t *path; /* up to '?'; into the input, like every slice here */
    size_t path_len;
    const uint8_t *query; /* after '?', may be empty */
    size_t query_len;
    const uint8_t *origin;
    size_t origin_len; /* 0: none sent */
    const uint8_t *host;
    size_t host_len;
} qw_upgrade;

/* What was seen while walking the header lines. */
typedef struct {
    int hosts, keys, versions, origins, upgrade, connection, body, bad;
    int version_13;
} qw_upgrade_seen;

static inline uint8_t qw_lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* word is lower case and NUL-terminated. */
static inline int qw_same_nocase(const uint8_t *p, size_t n, const char *word) {
    size_t i = 0;
    for (; i < n && word[i]; i++)
        if (qw_lower(p[i]) != (uint8_t)word[i]) return 0;
    return i == n && !word[i];
}

static inline int qw_is_token_char(uint8_t c) { /* tchar of RFC 9110 5.6.2 */
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return 1;
    return c > 0x20 && c < 0x7f && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static inline int qw_is_base64_char(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
}

static inline void qw_trim(const uint8_t **p, size_t *n) {
    while (*n && (**p == ' ' || **p == '\t')) ++*p, --*n;
    while (*n && ((*p)[*n - 1] == ' ' || (*p)[*n - 1] == '\t')) --*n;
}

/* Is word an element of the comma-separated list? Case matters when `exact`. */
static inline int qw_list_has(const uint8_t *p, size_t n, const char *word, int exact) {
    size_t start = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && p[i] != ',') continue;
        const uint8_t *item = p + start;
        size_t len = i - start;
        qw_trim(&item, &len);
        if (exact ? len == strlen(word) && memcmp(item, word, len) == 0 : qw_same_nocase(item, len, word)) return 1;
        start = i + 1;
    }
    return 0;
}

/* 16 bytes in base64: 22 characters and "==". */
static inline int qw_ws_key_valid(const uint8_t *p, size_t n) {
    if (n != QW_WS_KEY_SIZE || p[22] != '=' || p[23] != '=') return 0;
    for (int i = 0; i < 22; i++)
        if (!qw_is_base64_char(p[i])) return 0;
    return 1;
}

static inline void qw_upgrade_header(const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len,
                                     qw_upgrade *out, qw_upgrade_seen *seen) {
    if (qw_same_nocase(name, name_len, "upgrade")) seen->upgrade |= qw_list_has(value, value_len, "websocket", 0);
    else if (qw_same_nocase(name, name_len, "connection")) seen->connection |= qw_list_has(value, value_len, "upgrade", 0);
    else if (qw_same_nocase(name, name_len, "host")) {
        seen->hosts++;
        out->host = value;
        out->host_len = value_len;
    } else if (qw_same_nocase(name, name_len, "origin")) {
        seen->origins++;
        out->origin = value;
        out->origin_len = value_len;
    } else if (qw_same_nocase(name, name_len, "sec-websocket-key")) {
        seen->keys++;
        if (qw_ws_key_valid(value, value_len)) memcpy(out->key, value, QW_WS_KEY_SIZE);
        else seen->bad = 1;
    } else if (qw_same_nocase(name, name_len, "sec-websocket-version")) {
        seen->versions++;
        seen->version_13 = value_len == 2 && value[0] == '1' && value[1] == '3';
    } else if (qw_same_nocase(name, name_len, "sec-websocket-protocol")) {
        out->offers = 1;
        out->has_qw1 |= (uint8_t)qw_list_has(value, value_len, QW_WS_SUBPROTOCOL, 1);
    } else if (qw_same_nocase(name, name_len, "transfer-encoding")) seen->body = 1;
    else if (qw_same_nocase(name, name_len, "content-length")) seen->body |= !(value_len == 1 && value[0] == '0');
}

/* One line without its CRLF: `name ":" OWS value OWS`. 1 or MALFORMED. */
static inline int qw_upgrade_line(const uint8_t *p, size_t n, qw_upgrade *out, qw_upgrade_seen *seen) {
    size_t colon = 0;
    while (colon < n && qw_is_token_char(p[colon])) colon++;
    if (colon == 0 || colon == n || p[colon] != ':') return QW_MALFORMED;
    for (size_t i = colon + 1; i < n; i++)
        if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f) return QW_MALFORMED;
    const uint8_t *value = p + colon + 1;
    size_t value_len = n - colon - 1;
    qw_trim(&value, &value_len);
    qw_upgrade_header(p, colon, value, value_len, out, seen);
    return 1;
}

/* `GET SP origin-form SP HTTP/1.1` without its CRLF. 1 or MALFORMED. */
static inline int qw_upgrade_request_line(const uint8_t *p, size_t n, qw_upgrade *out) {
    static const char version[] = " HTTP/1.1";
    size_t tail = sizeof version - 1;
    if (n < 5 + tail || memcmp(p, "GET /", 5) != 0 || memcmp(p + n - tail, version, tail) != 0) return QW_MALFORMED;
    const uint8_t *end = p + n - tail, *at = p + 4;
    out->path = at;
    while (at < end && *at > 0x20 && *at < 0x7f && *at != '?') at++;
    out->path_len = (size_t)(at - out->path);
    out->query = at;
    if (at < end && *at == '?') {
        out->query = ++at;
        while (at < end && *at > 0x20 && *at < 0x7f) at++;
    }
    out->query_len = (size_t)(at - out->query);
    out->known = out->query_len == sizeof QW_WS_KNOWN - 1 && memcmp(out->query, QW_WS_KNOWN, out->query_len) == 0;
    return at == end ? 1 : QW_MALFORMED;
}

static inline int qw_upgrade_status(const qw_upgrade *u, const qw_upgrade_seen *seen) {
    if (seen->bad || seen->body || seen->hosts != 1) return 400;
    if (seen->keys > 1 || seen->versions > 1 || seen->origins > 1) return 400;
    if (u->path_len != sizeof QW_WS_PATH - 1 || memcmp(u->path, QW_WS_PATH, u->path_len) != 0) return 404;
    if (!seen->upgrade || !seen->connection) return 426;
    if (seen->versions == 0) return 400;
    if (!seen->version_13) return 426;
    return seen->keys == 1 ? 101 : 400;
}

/* Length of the head with its empty line, found from `seen` on; NEED_MORE, or MALFORMED for a bare LF. */
static inline ptrdiff_t qw_http_head_length(const uint8_t *p, size_t n, size_t seen) {
    size_t at = seen;
    while (at < n) {
        const uint8_t *lf = memchr(p + at, '\n', n - at);
        if (!lf) return QW_NEED_MORE;
        at = (size_t)(lf - p);
        if (at == 0 || p[at - 1] != '\r') return QW_MALFORMED;
        if (at >= 3 && p[at - 2] == '\n') return (ptrdiff_t)(at + 1);
        at++;
    }
    return QW_NEED_MORE;
}

/* The whole head must end within max_bytes, else TOO_BIG. `seen` = bytes that were at p in an earlier call which
 * answered NEED_MORE (0 at first): they are not searched again, so a peer that drips bytes costs no more than others. */
static inline ptrdiff_t qw_upgrade_parse_more(const uint8_t *p, size_t n, size_t seen, size_t max_bytes, qw_upgrade *out) {
    if (n == 0) return QW_NEED_MORE;
    if (memcmp(p, "GET ", n < 4 ? n : 4) != 0) return QW_MALFORMED;
    size_t limit = n < max_bytes ? n : max_bytes;
    ptrdiff_t head = qw_http_head_length(p, limit, seen < limit ? seen : limit);
    if (head == QW_NEED_MORE && n >= max_bytes) return QW_TOO_BIG;
    if (head <= 0) return head;
    qw_upgrade_seen found = {0};
    memset(out, 0, sizeof *out);
    const uint8_t *line = p, *end = p + head - 2; /* end: the empty line */
    while (line < end) {
        const uint8_t *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf || lf == line || lf[-1] != '\r') return QW_MALFORMED; /* only if the caller's `seen` was wrong */
        size_t len = (size_t)(lf - line) - 1;
        int ok = line == p ? qw_upgrade_request_line(line, len, out) : qw_upgrade_line(line, len, out, &found);
        if (ok < 0) return ok;
        line = lf + 1;
    }
    out->status = qw_upgrade_status(out, &found);
    return head;
}

static inline ptrdiff_t qw_upgrade_parse(const uint8_t *p, size_t n, size_t max_bytes, qw_upgrade *out) {
    return qw_upgrade_parse_more(p, n, 0, max_bytes, out);
}

/* Sec-WebSocket-Accept for a key: 28 characters (4.2.2). */
static inline void qw_ws_accept(const uint8_t key[QW_WS_KEY_SIZE], uint8_t accept[QW_WS_ACCEPT_SIZE]) {
    static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[QW_WS_KEY_SIZE + sizeof suffix - 1], digest[QW_SHA1_SIZE];
    memcpy(text, key, QW_WS_KEY_SIZE);
    memcpy(text + QW_WS_KEY_SIZE, suffix, sizeof suffix - 1);
    qw_sha1(text, sizeof text, digest);
    qw_base64_put(accept, digest, sizeof digest);
}

static inline size_t qw_text_put(uint8_t *p, const char *text) {
    size_t n = strlen(text);
    memcpy(p, text, n);
    return n;
}

/* The 101 response (room for 256 bytes); return the count. The subprotocol is echoed only when it was offered. */
static inline size_t qw_upgrade_response_put(uint8_t *p, const qw_upgrade *u) {
    size_t at = qw_text_put(p, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: ");
    qw_ws_accept(u->key, p + at);
    at += QW_WS_ACCEPT_SIZE;
    if (u->has_qw1) at += qw_text_put(p + at, "\r\nSec-WebSocket-Protocol: " QW_WS_SUBPROTOCOL);
    return at + qw_text_put(p + at, "\r\n\r\n");
}

/* A response without body for 400, 403, 404 or 426 (room for 256 bytes), any other status as 400; return the count. */
static inline size_t qw_upgrade_refusal_put(uint8_t *p, int status) {
    const char *line = "HTTP/1.1 400 Bad Request\r\n";
    if (status == 403) line = "HTTP/1.1 403 Forbidden\r\n";
    if (status == 404) line = "HTTP/1.1 404 Not Found\r\n";
    if (status == 426) line = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    size_t at = qw_text_put(p, line);
    at += qw_text_put(p + at, status == 426 ? "Connection: Upgrade, close\r\n" : "Connection: close\r\n");
    return at + qw_text_put(p + at, "Content-Length: 0\r\n\r\n");
}

/* The 503 of a server that takes no more now, and the seconds after which to come again (room for 256 bytes). */
static inline size_t qw_upgrade_later_put(uint8_t *p, uint32_t retry_after_s) {
    uint8_t digits[QW_U32_DIGITS];
    size_t at = qw_text_put(p, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: "), n = 0;
    do {
        digits[n++] = (uint8_t)('0' + retry_after_s % 10);
        retry_after_s /= 10;
    } while (retry_after_s);
    while (n) p[at++] = digits[--n];
    return at + qw_text_put(p + at, "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

#endif
