/*
 * compress.c - see compress.h.
 *
 * Compressor states are kept for each thread: making ZSTD's anew for every
 * 4 KiB block would cost more than compressing it.
 */
#include "compress.h"

#include <limits.h>
#include <lz4.h>
#include <pthread.h>
#include <stdlib.h>
#include <zdict.h>
#include <zstd.h>

#include "coding.h"
#include "haste.h"

enum {
    ZSTD_LEVEL = 1,
    ZSTD_DICT_LEVEL = 3,        /* takes as long as 1 without a dictionary: DESIGN.md */
    SAMPLE_FROM_LZ4 = 8 * 1024, /* shorter inputs are simply tried: */
    SAMPLE_FROM_ZSTD = 2048,    /* that takes no longer than looking */
    SAMPLE_WINDOWS = 16,        /* spread over the input, */
    SAMPLE_WINDOW = 64,         /* so many bytes each */
    SAMPLE_REPEATS = 1024,      /* bytes searched for repeated strings */
};

struct thread_state {
    ZSTD_CCtx *cctx;
    ZSTD_DCtx *dctx;
};

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static int thread_key_error;
static __thread struct thread_state *thread_state;
static __thread struct haste haste;
static __thread bool lz4_paid; /* for the last input of this thread */

static void thread_state_free(void *arg)
{
    struct thread_state *s = arg;

    ZSTD_freeCCtx(s->cctx);
    ZSTD_freeDCtx(s->dctx);
    free(s);
}

static void make_thread_key(void)
{
    thread_key_error = pthread_key_create(&thread_key, thread_state_free);
}

/* NULL: no memory. */
static struct thread_state *get_thread_state(void)
{
    struct thread_state *s = thread_state;

    if (s)
        return s;
    pthread_once(&thread_once, make_thread_key);
    if (thread_key_error)
        return NULL;
    s = calloc(1, sizeof(*s));
    if (s && pthread_setspecific(thread_key, s) != 0) {
        free(s);
        s = NULL;
    }
    thread_state = s;
    return s;
}

/* Are the bytes of some windows as evenly distributed as random ones? With n
 * random bytes the sum of squared counts is near n + n*n/256. */
static bool bytes_look_random(struct slice in)
{
    enum { N = SAMPLE_WINDOWS * SAMPLE_WINDOW, RANDOM = N + N * (N / 256) };
    uint16_t count[256] = {0};
    uint32_t sum = 0;
    size_t step = (in.len - SAMPLE_WINDOW) / (SAMPLE_WINDOWS - 1);
    unsigned w, i;

    for (w = 0; w < SAMPLE_WINDOWS; w++)
        for (i = 0; i < SAMPLE_WINDOW; i++)
            count[in.data[w * step + i]]++;
    for (i = 0; i < 256; i++)
        sum += (uint32_t)count[i] * count[i];
    return sum < RANDOM + RANDOM / 6;
}

/* Random bytes may still come twice, so look for repeats before giving up. */
static bool looks_incompressible(enum compression want, struct slice in)
{
    size_t from = want == COMPRESS_LZ4 ? SAMPLE_FROM_LZ4 : SAMPLE_FROM_ZSTD;
    char out[SAMPLE_REPEATS - SAMPLE_REPEATS / 16];

    if (in.len < from || !bytes_look_random(in))
        return false;
    return LZ4_compress_default((const char *)in.data + in.len / 2, out, SAMPLE_REPEATS,
                                sizeof(out)) == 0;
}

static size_t lz4_into(struct slice in, uint8_t *to, size_t cap, int step)
{
    int done;

    if (in.len > LZ4_MAX_INPUT_SIZE)
        return 0;
    done =
        LZ4_compress_fast((const char *)in.data, (char *)to, (int)in.len, (int)cap, step);
    return done > 0 ? (size_t)done : 0;
}

/* As quickly as the pieces before it allow (haste.h). */
static size_t compress_lz4(struct slice in, uint8_t *to, size_t cap)
{
    uint8_t other[HASTE_MAX];
    bool quick = haste.quick;
    size_t n, n_other;

    if (in.len < HASTE_MIN || in.len > HASTE_MAX)
        return lz4_into(in, to, cap, 1);
    n = lz4_into(in, to, cap, quick ? HASTE_STEP : 1);
    if (!haste_try(&haste, in.len, n))
        return n;
    n_other = lz4_into(in, other, cap, quick ? 1 : HASTE_STEP);
    haste_learn(&haste, in.len, quick ? n_other : n, quick ? n : n_other);
    if (haste.quick == quick || !n_other)
        return n;
    memcpy(to, other, n_other);
    return n_other;
}

/* The frame does not name its dictionary: that would take 4 bytes. */
static size_t compress_zstd_dict(ZSTD_CCtx *c, const struct compress_dict *d,
                                 struct slice in, uint8_t *to, size_t cap)
{
    size_t n;

    (void)ZSTD_CCtx_setParameter(c, ZSTD_c_dictIDFlag, 0);
    (void)ZSTD_CCtx_refCDict(c, (const ZSTD_CDict *)d);
    n = ZSTD_compress2(c, to, cap, in.data, in.len);
    (void)ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters); /* d may be freed */
    return n;
}

/* Bytes written, at most cap; 0 when it does not fit. */
static size_t compress_into(enum compression want, const struct compress_dict *d,
                            struct slice in, uint8_t *to, size_t cap)
{
    struct thread_state *s;
    size_t n;

    if (want == COMPRESS_LZ4)
        return compress_lz4(in, to, cap);
    s = get_thread_state();
    if (!s || (!s->cctx && !(s->cctx = ZSTD_createCCtx())))
        return 0;
    n = d ? compress_zstd_dict(s->cctx, d, in, to, cap)
          : ZSTD_compressCCtx(s->cctx, to, cap, in.data, in.len, ZSTD_LEVEL);
    return ZSTD_isError(n) ? 0 : n;
}

/* Appends to out. */
static enum compression pack(enum compression want, const struct compress_dict *d,
                             struct slice in, struct buf *out)
{
    size_t cap = in.len - in.len / 8;
    uint8_t *to;
    size_t n;

    if (in.len == 0 || out->failed)
        return COMPRESS_RAW;
    to = buf_reserve(out, cap);
    if (!to) {
        out->failed = false; /* nothing was lost: the caller stores `in` */
        return COMPRESS_RAW;
    }
    n = compress_into(want, d, in, to, cap);
    if (n == 0 || n >= in.len)
        return COMPRESS_RAW;
    out->len += n;
    return want;
}

enum compression compress_piece(enum compression want, enum compression last,
                                struct slice in, struct buf *out)
{
    bool look = last == COMPRESS_RAW;
    enum compression did;

    if (want == COMPRESS_RAW)
        return COMPRESS_RAW;
    if (want == COMPRESS_LZ4 && lz4_paid)
        look = false; /* in vain it takes no longer than looking */
    if (look && looks_incompressible(want, in))
        return COMPRESS_RAW;
    did = pack(want, NULL, in, out);
    if (want == COMPRESS_LZ4)
        lz4_paid = did == COMPRESS_LZ4;
    return did;
}

enum compression compress(enum compression want, struct slice in, struct buf *out)
{
    buf_clear(out);
    return compress_piece(want, COMPRESS_RAW, in, out);
}

static int decompress_lz4(struct slice in, void *to, size_t raw_len)
{
    if (in.len > INT_MAX || raw_len > INT_MAX)
        return -EUCLEAN;
    if (LZ4_decompress_safe((const char *)in.data, to, (int)in.len, (int)raw_len) !=
        (int)raw_len)
        return -EUCLEAN;
    return 0;
}

static int decompress_zstd(struct slice in, const struct decompress_dict *d, void *to,
                           size_t raw_len)
{
    struct thread_state *s = get_thread_state();
    size_t n;

    if (!s || (!s->dctx && !(s->dctx = ZSTD_createDCtx())))
        return -ENOMEM;
    n = d ? ZSTD_decompress_usingDDict(s->dctx, to, raw_len, in.data, in.len,
                                       (const ZSTD_DDict *)d)
          : ZSTD_decompressDCtx(s->dctx, to, raw_len, in.data, in.len);
    /* An error code of ZSTD is never a length we ask for. */
    return n == raw_len ? 0 : -EUCLEAN;
}

int decompress(enum compression type, struct slice in, void *to, size_t raw_len)
{
    switch (type) {
    case COMPRESS_RAW:
        if (in.len != raw_len)
            return -EUCLEAN;
        if (raw_len)
            memcpy(to, in.data, raw_len);
        return 0;
    case COMPRESS_LZ4:
        return decompress_lz4(in, to, raw_len);
    case COMPRESS_ZSTD:
        return decompress_zstd(in, NULL, to, raw_len);
    case COMPRESS_ZSTD_DICT:
        break; /* not without the dictionary */
    }
    return -EUCLEAN;
}

/* ---- dictionaries ---- */

/* Both structs are ZSTD's own, under our name. */

struct compress_dict *compress_dict_new(struct slice bytes)
{
    return (struct compress_dict *)ZSTD_createCDict(bytes.data, bytes.len,
                                                    ZSTD_DICT_LEVEL);
}

void compress_dict_free(struct compress_dict *d)
{
    (void)ZSTD_freeCDict((ZSTD_CDict *)d);
}

enum compression compress_with_dict(const struct compress_dict *d, struct slice in,
                                    struct buf *out)
{
    buf_clear(out);
    if (looks_incompressible(COMPRESS_ZSTD_DICT, in))
        return COMPRESS_RAW;
    return pack(COMPRESS_ZSTD_DICT, d, in, out);
}

bool is_dict(struct slice bytes)
{
    return bytes.len >= 8 && load_le32(bytes.data) == ZSTD_MAGIC_DICTIONARY;
}

int decompress_dict_new(struct slice bytes, struct decompress_dict **out)
{
    ZSTD_DDict *d;

    if (!is_dict(bytes) || bytes.len > DICT_MAX)
        return -EUCLEAN;
    d = ZSTD_createDDict(bytes.data, bytes.len);
    *out = (struct decompress_dict *)d;
    if (d)
        return 0;
    return ZDICT_isError(ZDICT_getDictHeaderSize(bytes.data, bytes.len)) ? -EUCLEAN
                                                                         : -ENOMEM;
}

void decompress_dict_free(struct decompress_dict *d)
{
    (void)ZSTD_freeDDict((ZSTD_DDict *)d);
}

size_t decompress_dict_memory(const struct decompress_dict *d)
{
    return ZSTD_sizeof_DDict((const ZSTD_DDict *)d);
}

int decompress_with_dict(const struct decompress_dict *d, struct slice in, void *to,
                         size_t raw_len)
{
    return decompress_zstd(in, d, to, raw_len);
}
