/* A stream of WebSocket frames as a server reads it: headers, fragmentation, unmasking, close payloads. */
#include "frame/includes/websocket.h"
#include "tests/fuzz/promise.h"

enum { MAX_PAYLOAD = 1 << 16 };

static ptrdiff_t parse(const uint8_t *p, size_t n) {
    qw_ws_header out;
    return qw_ws_header_parse(p, n, MAX_PAYLOAD, &out);
}

static void headers_come_back(const qw_ws_header *h, const uint8_t *p, size_t size) {
    uint8_t again[QW_WS_HEADER_MAX];
    size_t put = h->masked ? qw_ws_header_put_masked(again, h->opcode, h->payload_len, h->mask)
                           : qw_ws_header_put(again, h->opcode, h->payload_len);
    if (!h->fin) again[0] &= 0x7f;
    PROMISE(put == size && memcmp(again, p, size) == 0); /* one encoding only */
}

/* Unmasking at once, in two pieces at an odd address, and byte by byte are the same. */
static void unmask(uint8_t *payload, const uint8_t *p, size_t n, const uint8_t *mask) {
    uint8_t *pieces = malloc(n + 1);
    if (!pieces) abort();
    memcpy(payload, p, n);
    memcpy(pieces + 1, p, n);
    qw_ws_mask(payload, n, mask, 0);
    size_t cut = n ? p[0] % (n + 1) : 0;
    qw_ws_mask(pieces + 1, cut, mask, 0);
    qw_ws_mask(pieces + 1 + cut, n - cut, mask, cut);
    for (size_t i = 0; i < n; i++) PROMISE(payload[i] == (p[i] ^ mask[i & 3]) && payload[i] == pieces[i + 1]);
    free(pieces);
}

static void closes(const uint8_t *p, size_t n) {
    uint16_t code;
    if (qw_ws_close_parse(p, n, &code) == 1) PROMISE(n == 0 ? code == 1005 : qw_ws_close_code_valid(code));
    else PROMISE(code == 1002 || code == 1007);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    uint8_t message = 0;
    closes(p, n);
    promise_prefixes(parse, p, n);
    for (qw_ws_header h; n > 0;) {
        ptrdiff_t used = qw_ws_header_parse(p, n, MAX_PAYLOAD, &h);
        if (used <= 0) break;
        PROMISE(h.payload_len <= MAX_PAYLOAD && (h.opcode < QW_WS_CLOSE || (h.fin && h.payload_len <= 125)));
        headers_come_back(&h, p, (size_t)used);
        p += used;
        n -= (size_t)used;
        if (qw_ws_sequence(&message, &h) < 0 || h.payload_len > n) break;
        uint8_t *payload = malloc(h.payload_len ? h.payload_len : 1);
        if (!payload) abort();
        unmask(payload, p, h.payload_len, h.mask);
        if (h.opcode == QW_WS_CLOSE) closes(payload, h.payload_len);
        free(payload);
        p += h.payload_len;
        n -= h.payload_len;
    }
    return 0;
}
