/* What arrives before and around frames: first flights, handshake TLVs, records, varints. */
#include "frame/includes/preamble.h"
#include "frame/includes/record.h"
#include "tests/fuzz/promise.h"

static ptrdiff_t parse_varint(const uint8_t *p, size_t n) {
    uint64_t out;
    return qw_uv_get(p, n, &out);
}

static ptrdiff_t parse_preamble(const uint8_t *p, size_t n) {
    qw_preamble out;
    return qw_preamble_parse(p, n, &out);
}

static ptrdiff_t parse_flight(const uint8_t *p, size_t n) {
    qw_flight out;
    return qw_flight_parse(p, n, &out);
}

static ptrdiff_t parse_record(const uint8_t *p, size_t n) {
    size_t len;
    return qw_record_parse(p, n, 17, QW_PREAUTH_MAX_RECORD - 2, &len);
}

static ptrdiff_t parse_tlv(const uint8_t *p, size_t n) {
    qw_tlv out;
    return qw_tlv_parse(p, n, &out);
}

static void varints(const uint8_t *p, size_t n) {
    uint64_t value;
    uint8_t again[QW_UV_MAX];
    int used = qw_uv_get(p, n, &value);
    if (used <= 0) return;
    PROMISE(qw_uv_size(value) == used && qw_uv_put(again, value) == used && memcmp(again, p, (size_t)used) == 0);
}

/* A first flight lies within the input, in order, and fits what a peer may leave unfinished before login. */
static void flight(const uint8_t *p, size_t n) {
    qw_flight out;
    ptrdiff_t used = promise_prefixes(parse_flight, p, n);
    if (used <= 0) return;
    qw_flight_parse(p, n, &out);
    PROMISE(out.message + out.message_len == p + used && out.message == p + out.prologue_len + 2 && used <= 784);
    PROMISE(out.ticket == NULL ? out.prologue_len == QW_PREAMBLE_SIZE && out.ticket_len == 0
                               : out.ticket == p + QW_PREAMBLE_SIZE + 1 && out.ticket + out.ticket_len + 2 == out.message);
}

static void tlvs(const uint8_t *p, size_t n) {
    qw_tlv out;
    for (ptrdiff_t used; (used = qw_tlv_parse(p, n, &out)) > 0; p += used, n -= (size_t)used)
        PROMISE(out.value + out.value_len == p + used && out.value_len <= (size_t)used - 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    promise_prefixes(parse_varint, p, n);
    promise_prefixes(parse_tlv, p, n);
    varints(p, n);
    tlvs(p, n);
    flight(p, n);
    if (promise_prefixes(parse_preamble, p, n) > 0) {
        qw_preamble out;
        uint8_t again[QW_PREAMBLE_SIZE];
        qw_preamble_parse(p, n, &out);
        PROMISE(qw_preamble_put(again, &out) == QW_PREAMBLE_SIZE && memcmp(again, p, QW_PREAMBLE_SIZE) == 0);
        p += QW_PREAMBLE_SIZE;
        n -= QW_PREAMBLE_SIZE;
    }
    for (ptrdiff_t used; (used = promise_prefixes(parse_record, p, n)) > 0; p += used, n -= (size_t)used) {
        PROMISE(used >= 2 + 17 && used <= QW_PREAUTH_MAX_RECORD && qw_get_u16(p) == used - 2);
        tlvs(p + 2, (size_t)used - 2);
    }
    return 0;
}
