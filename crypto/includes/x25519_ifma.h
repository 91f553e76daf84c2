/* X25519 (RFC 7748, section 5), eight at a time: one in each 64-bit lane of AVX-512, multiplied by its IFMA
 * instructions (vpmadd52luq, vpmadd52huq). Eight take little longer than libsodium takes for one
 * (docs/decisions). Where the CPU has none, qw_x25519_ifma_available() says 0 and the caller stays with libsodium.
 *
 * A field element is five limbs of 51 bits, v = sum v[i] 2^(51 i) mod 2^255 - 19. Two states of one:
 *   tight   each limb < 2^51 + 2^16: what the multiplier takes (it reads the low 52 bits of each limb only)
 *   loose   each limb < 2^60: what the multiplier gives; a sum or difference of two is below 2^62
 * Constant time: no branch and no address depends on a scalar or a point; the ladder swaps by lane masks.
 */
#ifndef QW_X25519_IFMA_H
#define QW_X25519_IFMA_H

#include <stdint.h>
#include <string.h>

enum { QW_X25519_LANES = 8, QW_X25519_BYTES = 32 };

#if defined(__x86_64__)

#include <immintrin.h>

#define QW_IFMA __attribute__((target("avx512f,avx512ifma"), always_inline)) static inline
#define QW_LIMBS 5 /* of a field element */
#define QW_WORDS 4 /* of 64 bits: a number as bytes */
#define QW_MASK51 0x7FFFFFFFFFFFFll

typedef struct {
    __m512i v[QW_LIMBS];
} qw_fe8;

static inline int qw_x25519_ifma_available(void)
{
    __builtin_cpu_init(); /* looks at what the system saves of the registers, too */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512ifma");
}

/* loose, or a sum or difference of two (< 2^62) -> tight */
QW_IFMA qw_fe8 qw_fe8_carry(qw_fe8 a)
{
    const __m512i mask = _mm512_set1_epi64(QW_MASK51);
    __m512i c[QW_LIMBS];
    qw_fe8 r;
    for (int i = 0; i < QW_LIMBS; i++) {
        c[i] = _mm512_srli_epi64(a.v[i], 51);
        r.v[i] = _mm512_and_si512(a.v[i], mask);
    }
    for (int i = 1; i < QW_LIMBS; i++)
        r.v[i] = _mm512_add_epi64(r.v[i], c[i - 1]);
    /* 2^255 = 19; a carry is below 2^11 */
    r.v[0] = _mm512_madd52lo_epu64(r.v[0], c[4], _mm512_set1_epi64(19));
    return r;
}

QW_IFMA qw_fe8 qw_fe8_add(qw_fe8 a, qw_fe8 b)
{
    qw_fe8 r;
    for (int i = 0; i < QW_LIMBS; i++)
        r.v[i] = _mm512_add_epi64(a.v[i], b.v[i]);
    return r;
}

/* a - b + 2^10 p: no limb goes below zero, as one of 2^10 p is above 2^61 - 2^15 */
QW_IFMA qw_fe8 qw_fe8_sub(qw_fe8 a, qw_fe8 b)
{
    const __m512i p0 = _mm512_set1_epi64((QW_MASK51 - 18) << 10), p = _mm512_set1_epi64(QW_MASK51 << 10);
    qw_fe8 r;
    for (int i = 0; i < QW_LIMBS; i++)
        r.v[i] = _mm512_sub_epi64(_mm512_add_epi64(a.v[i], i ? p : p0), b.v[i]);
    return r;
}

/* Columns 0..9 of a product -> loose. A column is below 8 * 2^52: five low halves, and as many doubled high ones,
 * each of which is below 2^50 + 2^16. */
QW_IFMA qw_fe8 qw_fe8_fold(const __m512i t[2 * QW_LIMBS])
{
    qw_fe8 r;
    for (int i = 0; i < QW_LIMBS; i++) {
        __m512i h = t[i + QW_LIMBS]; /* times 19 = 16 + 2 + 1 */
        __m512i twice = _mm512_add_epi64(h, h);
        __m512i much = _mm512_slli_epi64(h, 4);
        r.v[i] = _mm512_add_epi64(_mm512_add_epi64(t[i], h), _mm512_add_epi64(twice, much));
    }
    return r;
}

/* tight * tight -> loose */
QW_IFMA qw_fe8 qw_fe8_mul(qw_fe8 a, qw_fe8 b)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i lo[2 * QW_LIMBS], hi[2 * QW_LIMBS];
    for (int i = 0; i < 2 * QW_LIMBS; i++)
        lo[i] = hi[i] = zero;
    for (int i = 0; i < QW_LIMBS; i++)
        for (int j = 0; j < QW_LIMBS; j++) {
            lo[i + j] = _mm512_madd52lo_epu64(lo[i + j], a.v[i], b.v[j]);
            hi[i + j] = _mm512_madd52hi_epu64(hi[i + j], a.v[i], b.v[j]);
        }
    /* the high half of a product begins at bit 52, a limb at bit 51 */
    for (int i = 1; i < 2 * QW_LIMBS; i++)
        lo[i] = _mm512_add_epi64(lo[i], _mm512_add_epi64(hi[i - 1], hi[i - 1]));
    return qw_fe8_fold(lo);
}

QW_IFMA qw_fe8 qw_fe8_square(qw_fe8 a)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i lo[2 * QW_LIMBS], hi[2 * QW_LIMBS];
    for (int i = 0; i < 2 * QW_LIMBS; i++)
        lo[i] = hi[i] = zero;
    for (int i = 0; i < QW_LIMBS; i++)
        for (int j = i + 1; j < QW_LIMBS; j++) {
            lo[i + j] = _mm512_madd52lo_epu64(lo[i + j], a.v[i], a.v[j]);
            hi[i + j] = _mm512_madd52hi_epu64(hi[i + j], a.v[i], a.v[j]);
        }
    for (int i = 0; i < 2 * QW_LIMBS; i++) {
        lo[i] = _mm512_add_epi64(lo[i], lo[i]);
        hi[i] = _mm512_add_epi64(hi[i], hi[i]);
    }
    for (int i = 0; i < QW_LIMBS; i++) {
        lo[2 * i] = _mm512_madd52lo_epu64(lo[2 * i], a.v[i], a.v[i]);
        hi[2 * i] = _mm512_madd52hi_epu64(hi[2 * i], a.v[i], a.v[i]);
    }
    for (int i = 1; i < 2 * QW_LIMBS; i++)
        lo[i] = _mm512_add_epi64(lo[i], _mm512_add_epi64(hi[i - 1], hi[i - 1]));
    return qw_fe8_fold(lo);
}

/* loose + 121665 * tight -> loose: (A - 2) / 4 of the curve */
QW_IFMA qw_fe8 qw_fe8_plus_a24(qw_fe8 sum, qw_fe8 e)
{
    const __m512i a24 = _mm512_set1_epi64(121665), zero = _mm512_setzero_si512();
    __m512i hi[QW_LIMBS];
    for (int i = 0; i < QW_LIMBS; i++) {
        sum.v[i] = _mm512_madd52lo_epu64(sum.v[i], a24, e.v[i]);
        hi[i] = _mm512_madd52hi_epu64(zero, a24, e.v[i]);
        hi[i] = _mm512_add_epi64(hi[i], hi[i]);
    }
    for (int i = 1; i < QW_LIMBS; i++)
        sum.v[i] = _mm512_add_epi64(sum.v[i], hi[i - 1]);
    sum.v[0] = _mm512_madd52lo_epu64(sum.v[0], hi[4], _mm512_set1_epi64(19));
    return sum;
}

QW_IFMA void qw_fe8_swap(qw_fe8 *a, qw_fe8 *b, __mmask8 swap)
{
    for (int i = 0; i < QW_LIMBS; i++) {
        const __m512i was = a->v[i];
        a->v[i] = _mm512_mask_mov_epi64(a->v[i], swap, b->v[i]);
        b->v[i] = _mm512_mask_mov_epi64(b->v[i], swap, was);
    }
}

/* Not inlined: a third of the code otherwise, and it runs a dozen times. */
__attribute__((target("avx512f,avx512ifma"), noinline)) static void
qw_fe8_squares_times(qw_fe8 *r, const qw_fe8 *a, int n, const qw_fe8 *b)
{
    qw_fe8 t = *a;
    for (int i = 0; i < n; i++)
        t = qw_fe8_carry(qw_fe8_square(t));
    *r = qw_fe8_carry(qw_fe8_mul(t, *b));
}

/* z^(p - 2), by the chain of RFC 7748's authors; z and the result are tight */
__attribute__((target("avx512f,avx512ifma"))) static void qw_fe8_invert(qw_fe8 *r, const qw_fe8 *z)
{
    qw_fe8 z2, z9, z11, e5, e10, e20, e50, e100, t;
    z2 = qw_fe8_carry(qw_fe8_square(*z));
    qw_fe8_squares_times(&z9, &z2, 2, z);
    z11 = qw_fe8_carry(qw_fe8_mul(z9, z2));
    qw_fe8_squares_times(&e5, &z11, 1, &z9);     /* 2^5 - 1 */
    qw_fe8_squares_times(&e10, &e5, 5, &e5);     /* 2^10 - 1 */
    qw_fe8_squares_times(&e20, &e10, 10, &e10);
    qw_fe8_squares_times(&t, &e20, 20, &e20);    /* 2^40 - 1 */
    qw_fe8_squares_times(&e50, &t, 10, &e10);
    qw_fe8_squares_times(&e100, &e50, 50, &e50);
    qw_fe8_squares_times(&t, &e100, 100, &e100); /* 2^200 - 1 */
    qw_fe8_squares_times(&t, &t, 50, &e50);      /* 2^250 - 1 */
    qw_fe8_squares_times(r, &t, 5, &z11);        /* 2^255 - 21 */
}

/* The numbers of eight strings of 32 bytes, word by word: words[w] has word w of each. */
QW_IFMA void qw_lanes_load(__m512i words[QW_WORDS], const uint8_t p[QW_X25519_LANES][QW_X25519_BYTES])
{
    uint64_t all[QW_WORDS][QW_X25519_LANES] __attribute__((aligned(64)));
    for (int lane = 0; lane < QW_X25519_LANES; lane++)
        for (int w = 0; w < QW_WORDS; w++)
            memcpy(&all[w][lane], p[lane] + 8 * w, 8);
    for (int w = 0; w < QW_WORDS; w++)
        words[w] = _mm512_load_si512(all[w]);
}

QW_IFMA qw_fe8 qw_fe8_load(const uint8_t p[QW_X25519_LANES][QW_X25519_BYTES])
{
    const __m512i mask = _mm512_set1_epi64(QW_MASK51);
    __m512i w[QW_WORDS];
    qw_fe8 r;
    qw_lanes_load(w, p);
    r.v[0] = _mm512_and_si512(w[0], mask);
    r.v[1] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[0], 51), _mm512_slli_epi64(w[1], 13)), mask);
    r.v[2] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[1], 38), _mm512_slli_epi64(w[2], 26)), mask);
    r.v[3] = _mm512_and_si512(_mm512_or_si512(_mm512_srli_epi64(w[2], 25), _mm512_slli_epi64(w[3], 39)), mask);
    r.v[4] = _mm512_and_si512(_mm512_srli_epi64(w[3], 12), mask); /* bit 255 is not of the number */
    return r;
}

/* tight -> the one number below p, as bytes */
QW_IFMA void qw_fe8_store(uint8_t out[QW_X25519_LANES][QW_X25519_BYTES], qw_fe8 a)
{
    const __m512i mask = _mm512_set1_epi64(QW_MASK51), nineteen = _mm512_set1_epi64(19);
    uint64_t all[QW_WORDS][QW_X25519_LANES] __attribute__((aligned(64)));
    __m512i w[QW_WORDS], q;
    for (int round = 0; round < 2; round++) { /* below 2^255 */
        for (int i = 0; i < 4; i++) {
            a.v[i + 1] = _mm512_add_epi64(a.v[i + 1], _mm512_srli_epi64(a.v[i], 51));
            a.v[i] = _mm512_and_si512(a.v[i], mask);
        }
        q = _mm512_srli_epi64(a.v[4], 51);
        a.v[4] = _mm512_and_si512(a.v[4], mask);
        a.v[0] = _mm512_madd52lo_epu64(a.v[0], q, nineteen);
    }
    q = _mm512_srli_epi64(_mm512_add_epi64(a.v[0], nineteen), 51); /* is a + 19 >= 2^255? then a >= p */
    for (int i = 1; i < QW_LIMBS; i++)
        q = _mm512_srli_epi64(_mm512_add_epi64(a.v[i], q), 51);
    a.v[0] = _mm512_madd52lo_epu64(a.v[0], q, nineteen);
    for (int i = 0; i < 4; i++) {
        a.v[i + 1] = _mm512_add_epi64(a.v[i + 1], _mm512_srli_epi64(a.v[i], 51));
        a.v[i] = _mm512_and_si512(a.v[i], mask);
    }
    a.v[4] = _mm512_and_si512(a.v[4], mask);
    w[0] = _mm512_or_si512(a.v[0], _mm512_slli_epi64(a.v[1], 51));
    w[1] = _mm512_or_si512(_mm512_srli_epi64(a.v[1], 13), _mm512_slli_epi64(a.v[2], 38));
    w[2] = _mm512_or_si512(_mm512_srli_epi64(a.v[2], 26), _mm512_slli_epi64(a.v[3], 25));
    w[3] = _mm512_or_si512(_mm512_srli_epi64(a.v[3], 39), _mm512_slli_epi64(a.v[4], 12));
    for (int i = 0; i < 4; i++)
        _mm512_store_si512(all[i], w[i]);
    for (int lane = 0; lane < QW_X25519_LANES; lane++)
        for (int i = 0; i < 4; i++)
            memcpy(out[lane] + 8 * i, &all[i][lane], 8);
}

/* out[i] = scalars[i] * points[i]; scalars are clamped here. A point of low order gives 32 zeros. */
__attribute__((target("avx512f,avx512ifma"), noinline)) static void
qw_x25519_ifma8(uint8_t out[QW_X25519_LANES][QW_X25519_BYTES], const uint8_t scalars[QW_X25519_LANES][QW_X25519_BYTES],
                const uint8_t points[QW_X25519_LANES][QW_X25519_BYTES])
{
    const __m512i zero = _mm512_setzero_si512();
    const qw_fe8 x1 = qw_fe8_load(points);
    qw_fe8 x2, z2, x3 = x1, z3, a, b, c, d, e, da, cb, aa, bb;
    __m512i k[QW_WORDS];
    __mmask8 swap = 0;
    for (int i = 0; i < QW_LIMBS; i++)
        x2.v[i] = z2.v[i] = z3.v[i] = zero;
    x2.v[0] = z3.v[0] = _mm512_set1_epi64(1);
    qw_lanes_load(k, scalars);
    k[0] = _mm512_and_si512(k[0], _mm512_set1_epi64(~7ll));
    k[3] = _mm512_and_si512(k[3], _mm512_set1_epi64(0x7FFFFFFFFFFFFFFFll));
    k[3] = _mm512_or_si512(k[3], _mm512_set1_epi64(0x4000000000000000ll));
    for (int t = 254; t >= 0; t--) {
        const __mmask8 bit = _mm512_test_epi64_mask(k[t >> 6], _mm512_set1_epi64((long long)(1ull << (t & 63))));
        qw_fe8_swap(&x2, &x3, swap ^ bit);
        qw_fe8_swap(&z2, &z3, swap ^ bit);
        swap = bit;
        a = qw_fe8_carry(qw_fe8_add(x2, z2));
        b = qw_fe8_carry(qw_fe8_sub(x2, z2));
        c = qw_fe8_carry(qw_fe8_add(x3, z3));
        d = qw_fe8_carry(qw_fe8_sub(x3, z3));
        da = qw_fe8_mul(d, a);
        cb = qw_fe8_mul(c, b);
        x3 = qw_fe8_square(qw_fe8_carry(qw_fe8_add(da, cb)));
        z3 = qw_fe8_mul(x1, qw_fe8_carry(qw_fe8_square(qw_fe8_carry(qw_fe8_sub(da, cb)))));
        aa = qw_fe8_carry(qw_fe8_square(a));
        bb = qw_fe8_carry(qw_fe8_square(b));
        e = qw_fe8_carry(qw_fe8_sub(aa, bb));
        x2 = qw_fe8_mul(aa, bb);
        z2 = qw_fe8_mul(e, qw_fe8_carry(qw_fe8_plus_a24(aa, e)));
    }
    qw_fe8_swap(&x2, &x3, swap);
    qw_fe8_swap(&z2, &z3, swap);
    z2 = qw_fe8_carry(z2);
    qw_fe8_invert(&z3, &z2);
    qw_fe8_store(out, qw_fe8_carry(qw_fe8_mul(qw_fe8_carry(x2), z3)));
}

#else

static inline int qw_x25519_ifma_available(void)
{
    return 0;
}

static inline void qw_x25519_ifma8(uint8_t out[QW_X25519_LANES][QW_X25519_BYTES],
                                   const uint8_t scalars[QW_X25519_LANES][QW_X25519_BYTES],
                                   const uint8_t points[QW_X25519_LANES][QW_X25519_BYTES])
{
    (void)out, (void)scalars, (void)points;
}

#endif
#endif
