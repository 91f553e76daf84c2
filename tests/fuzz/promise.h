/* Shared by the fuzz targets: a promise that aborts, and the promise every streaming parser makes. */
#ifndef QW_PROMISE_H
#define QW_PROMISE_H

#include "frame/includes/codes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMISE(condition)                                                                      \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);     \
            abort();                                                                            \
        }                                                                                       \
    } while (0)

typedef ptrdiff_t (*parser)(const uint8_t *p, size_t n);

static inline ptrdiff_t parse_copy(parser parse, const uint8_t *p, size_t n) {
    uint8_t *copy = malloc(n ? n : 1); /* its own block: a read past n is seen */
    if (!copy) abort();
    if (n) memcpy(copy, p, n);
    ptrdiff_t result = parse(copy, n);
    free(copy);
    return result;
}

/* From one position on the verdict is known and never changes; before it the parser asks for more. Long inputs are cut
 * at the 64 first and last positions and at 64 between. */
static inline ptrdiff_t promise_prefixes(parser parse, const uint8_t *p, size_t n) {
    ptrdiff_t whole = parse(p, n);
    PROMISE(whole >= QW_TOO_BIG && whole <= (ptrdiff_t)n);
    int known = 0;
    size_t stride = n > 192 ? (n - 128) / 64 : 1;
    for (size_t cut = 0; cut < n; cut += cut < 64 || cut + 64 >= n ? 1 : stride) {
        ptrdiff_t part = parse_copy(parse, p, cut);
        if (part == QW_NEED_MORE) PROMISE(!known && (whole <= 0 || cut < (size_t)whole));
        else {
            PROMISE(part == whole && (whole < 0 || cut >= (size_t)whole));
            known = 1;
        }
    }
    return whole;
}

static inline void promise_inside(const uint8_t *slice, size_t len, const uint8_t *p, size_t n) {
    PROMISE(slice >= p && slice <= p + n && len <= (size_t)(p + n - slice));
}

#endif
