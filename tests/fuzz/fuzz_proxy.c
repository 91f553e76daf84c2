/* PROXY protocol version 2. */
#include "frame/includes/proxy.h"
#include "tests/fuzz/promise.h"

static ptrdiff_t parse(const uint8_t *p, size_t n) {
    qw_proxy_header out;
    return qw_proxy_v2_parse(p, n, &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    ptrdiff_t used = promise_prefixes(parse, p, n);
    if (used <= 0) return 0;
    qw_proxy_header out;
    PROMISE(qw_proxy_v2_parse(p, n, &out) == used);
    PROMISE(used >= QW_PROXY_HEADER && used <= QW_PROXY_HEADER + QW_PROXY_MAX_LENGTH);
    PROMISE(out.family == 0 || out.family == 4 || out.family == 6);
    size_t width = out.family == 6 ? 16 : out.family;
    PROMISE(memcmp(out.source, p + QW_PROXY_HEADER, width) == 0);
    for (size_t i = width; i < sizeof out.source; i++) PROMISE(out.source[i] == 0 && out.target[i] == 0);
    if (out.local) PROMISE(out.family == 0);
    return 0;
}
