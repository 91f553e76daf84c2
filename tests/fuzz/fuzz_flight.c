/* The whole first flight of a connection, with a ticket or without, and the TLV fields of message 1's payload. */
#include "frame/includes/preamble.h"
#include "tests/fuzz/promise.h"

static ptrdiff_t parse(const uint8_t *p, size_t n) {
    qw_flight out;
    return qw_flight_parse(p, n, &out);
}

static void fields(const uint8_t *p, size_t n) {
    qw_tlv field;
    for (ptrdiff_t used; n && (used = qw_tlv_parse(p, n, &field)) > 0; p += used, n -= (size_t)used) {
        promise_inside(field.value, field.value_len, p, n);
        PROMISE(field.value + field.value_len == p + used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    fields(p, n);
    ptrdiff_t used = promise_prefixes(parse, p, n);
    if (used <= 0) return 0;
    qw_flight out;
    PROMISE(qw_flight_parse(p, n, &out) == used);
    int with_ticket = out.preamble.pattern == QW_PATTERN_NKPSK0 || out.preamble.pattern == QW_PATTERN_NNPSK0;
    PROMISE((out.ticket != NULL) == with_ticket && (out.ticket_len != 0) == with_ticket);
    if (with_ticket) {
        promise_inside(out.ticket, out.ticket_len, p, n);
        PROMISE(out.ticket + out.ticket_len == p + out.prologue_len && out.ticket_len == p[QW_PREAMBLE_SIZE]);
    } else {
        PROMISE(out.prologue_len == QW_PREAMBLE_SIZE);
    }
    promise_inside(out.message, out.message_len, p, n);
    PROMISE(out.message == p + out.prologue_len + 2 && out.message + out.message_len == p + used);
    PROMISE(out.message_len >= QW_HANDSHAKE_MIN && out.message_len <= QW_HANDSHAKE_MAX);
    fields(out.message, out.message_len);
    return 0;
}
