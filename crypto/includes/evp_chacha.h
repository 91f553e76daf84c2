/* ChaCha20-Poly1305 through OpenSSL's EVP functions, whose addresses crypto/openssl.pyx fills in. A cipher context
 * belongs to a thread: made at its first record, freed when the thread ends. The prototypes are those of OpenSSL 3
 * (docs.openssl.org, EVP_EncryptInit).
 */
#ifndef QW_EVP_CHACHA_H
#define QW_EVP_CHACHA_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { QW_EVP_KEY = 32, QW_EVP_TAG = 16, QW_EVP_GET_TAG = 0x10, QW_EVP_SET_TAG = 0x11 };

typedef int (*qw_evp_init_fn)(void *ctx, const void *cipher, void *engine, const uint8_t *key, const uint8_t *iv);
typedef int (*qw_evp_update_fn)(void *ctx, uint8_t *out, int *out_len, const uint8_t *in, int in_len);
typedef int (*qw_evp_final_fn)(void *ctx, uint8_t *out, int *out_len);

typedef struct {
    void *cipher; /* EVP_CIPHER; NULL: not to be used */
    void *(*ctx_new)(void);
    void (*ctx_free)(void *ctx);
    int (*ctx_ctrl)(void *ctx, int type, int arg, void *ptr);
    qw_evp_init_fn encrypt_init, decrypt_init;
    qw_evp_update_fn encrypt_update, decrypt_update;
    qw_evp_final_fn encrypt_final, decrypt_final;
} qw_evp_table;

static qw_evp_table qw_evp;
static pthread_key_t qw_evp_end; /* frees the context of a thread that ends */
static __thread void *qw_evp_ctx;

/* The table is whole: from now on it may be used. 0, or -1. */
static int qw_evp_ready(void *cipher)
{
    if (pthread_key_create(&qw_evp_end, qw_evp.ctx_free) != 0)
        return -1;
    qw_evp.cipher = cipher;
    return 0;
}

/* The thread's context, initialised for this record; NULL when there is none. */
static void *qw_evp_begin(qw_evp_init_fn init, const uint8_t *key, const uint8_t *nonce)
{
    if (qw_evp_ctx == NULL) {
        /* Named once: a context that is told its cipher again is built anew. */
        void *fresh = qw_evp.ctx_new();
        if (fresh == NULL)
            return NULL;
        if (init(fresh, qw_evp.cipher, NULL, NULL, NULL) != 1 || pthread_setspecific(qw_evp_end, fresh) != 0) {
            qw_evp.ctx_free(fresh);
            return NULL;
        }
        qw_evp_ctx = fresh;
    }
    return init(qw_evp_ctx, NULL, NULL, key, nonce) == 1 ? qw_evp_ctx : NULL;
}

/* No key stays behind in the context. */
static void qw_evp_wipe(void *ctx)
{
    static const uint8_t zeros[QW_EVP_KEY];
    qw_evp.encrypt_init(ctx, NULL, NULL, zeros, NULL);
}

/* Both: 1 done, 0 nothing touched (no context), -1 failed, `out` is lost. `out` may equal `in`. */
static int qw_evp_seal(uint8_t *out, const uint8_t *in, int len, const uint8_t *nonce, const uint8_t *key)
{
    int written = 0, rest = 0, done;
    void *ctx = qw_evp_begin(qw_evp.encrypt_init, key, nonce);
    if (ctx == NULL)
        return 0;
    done = qw_evp.encrypt_update(ctx, out, &written, in, len) == 1 && written == len &&
           qw_evp.encrypt_final(ctx, out + len, &rest) == 1 && rest == 0 &&
           qw_evp.ctx_ctrl(ctx, QW_EVP_GET_TAG, QW_EVP_TAG, out + len) == 1;
    qw_evp_wipe(ctx);
    return done ? 1 : -1;
}

static int qw_evp_open(uint8_t *out, const uint8_t *in, int len, const uint8_t *nonce, const uint8_t *key)
{
    uint8_t tag[QW_EVP_TAG];
    int plain = len - QW_EVP_TAG, written = 0, rest = 0, done;
    void *ctx = qw_evp_begin(qw_evp.decrypt_init, key, nonce);
    if (ctx == NULL)
        return 0;
    memcpy(tag, in + plain, QW_EVP_TAG);
    done = qw_evp.ctx_ctrl(ctx, QW_EVP_SET_TAG, QW_EVP_TAG, tag) == 1 &&
           qw_evp.decrypt_update(ctx, out, &written, in, plain) == 1 && written == plain &&
           qw_evp.decrypt_final(ctx, out + plain, &rest) == 1 && rest == 0;
    qw_evp_wipe(ctx);
    if (!done)
        memset(out, 0, (size_t)plain);
    return done ? 1 : -1;
}

#endif
