/* The head of an HTTP upgrade, whole and dripped, and the answers to it. */
#include "frame/includes/http_upgrade.h"
#include "tests/fuzz/promise.h"

enum { LIMIT = 320 }; /* small, so that inputs on either side of it are found soon */

static ptrdiff_t parse(const uint8_t *p, size_t n) {
    qw_upgrade out;
    return qw_upgrade_parse(p, n, LIMIT, &out);
}

/* Fed in pieces, each call told what the one before had seen, the verdict is that of the whole. */
static void dripped(const uint8_t *p, size_t n, ptrdiff_t whole) {
    size_t seen = 0, step = 1 + n / 50;
    qw_upgrade out;
    for (size_t end = 0; end < n; end += step) {
        ptrdiff_t part = qw_upgrade_parse_more(p, end, seen, LIMIT, &out);
        PROMISE(part == qw_upgrade_parse(p, end, LIMIT, &out));
        if (part != QW_NEED_MORE) return;
        seen = end;
    }
    PROMISE(qw_upgrade_parse_more(p, n, seen, LIMIT, &out) == whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    ptrdiff_t whole = promise_prefixes(parse, p, n);
    dripped(p, n, whole);
    qw_upgrade wrong;
    if (n) qw_upgrade_parse_more(p, n, p[n - 1] % n, LIMIT, &wrong); /* a false `seen` may mislead, but not break */
    if (whole <= 0) return 0;
    qw_upgrade out;
    PROMISE(qw_upgrade_parse(p, n, LIMIT, &out) == whole && whole <= LIMIT);
    size_t head = (size_t)whole;
    PROMISE(memcmp(p + head - 4, "\r\n\r\n", 4) == 0);
    promise_inside(out.path, out.path_len, p, head);
    promise_inside(out.query, out.query_len, p, head);
    PROMISE(out.known == (out.query_len == 5 && memcmp(out.query, "known", 5) == 0));
    if (out.origin_len) promise_inside(out.origin, out.origin_len, p, head);
    if (out.host_len) promise_inside(out.host, out.host_len, p, head);
    uint8_t *answer = malloc(QW_UPGRADE_RESPONSE_MAX);
    if (!answer) abort();
    if (out.status == 101) {
        PROMISE(qw_ws_key_valid(out.key, sizeof out.key) && out.path_len == 4 && (out.offers || !out.has_qw1));
        PROMISE(qw_upgrade_response_put(answer, &out) <= QW_UPGRADE_RESPONSE_MAX);
    } else {
        PROMISE(out.status == 400 || out.status == 404 || out.status == 426);
        PROMISE(qw_upgrade_refusal_put(answer, out.status) <= QW_UPGRADE_RESPONSE_MAX);
        PROMISE(qw_upgrade_later_put(answer, qw_get_u16(p)) <= QW_UPGRADE_RESPONSE_MAX);
    }
    free(answer);
    return 0;
}
