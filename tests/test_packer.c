/*
 * test_packer.c - lsm/packer.h: records made by two threads are what record_build makes.
 */
#include "tests/test.h"

#include <pthread.h>
#include <stdlib.h>

#include "lsm/packer.h"

enum {
    VALUES = 8,
    LEN = 128 << 10,
    ROUNDS = 60,
    THREADS = 3,
};

/* Half of each 4 KiB is random. */
static void fill(uint8_t *to, size_t len, uint64_t *rng)
{
    size_t i;

    memset(to, 7, len);
    for (i = 0; i + 8 <= len; i += 8)
        if (i % 4096 < 2048)
            store_le64(to + i, test_random(rng));
}

static void must_be_same(const struct record *a, const struct record *b)
{
    struct buf x = {0};
    struct buf y = {0};
    unsigned i;

    for (i = 0; i < a->n_parts; i++)
        buf_append_slice(&x, a->parts[i]);
    for (i = 0; i < b->n_parts; i++)
        buf_append_slice(&y, b->parts[i]);
    ck_assert_uint_eq(a->stored, b->stored);
    ck_assert(slice_eq(buf_slice(&x), buf_slice(&y)));
    buf_release(&x);
    buf_release(&y);
}

struct appender {
    struct packer *p;
    uint64_t rng;
};

/* Some appends are worth a second thread, some are not. */
static void *append_much(void *arg)
{
    struct appender *a = arg;
    uint8_t *bytes = malloc((size_t)VALUES * LEN);
    struct record r[VALUES] = {{.n_parts = 0}}, alone = {.n_parts = 0};
    unsigned round, i;

    for (round = 0; round < (SOAK_SANITIZED ? ROUNDS / 4 : ROUNDS); round++) {
        unsigned n = 1 + (unsigned)test_below(&a->rng, VALUES);
        enum compression want[VALUES];
        struct slice value[VALUES];

        fill(bytes, (size_t)VALUES * LEN, &a->rng);
        for (i = 0; i < n; i++) {
            value[i] = slice_of(bytes + (size_t)i * LEN, 1 + test_below(&a->rng, LEN));
            if (test_below(&a->rng, 2))
                value[i].len = LEN;
            want[i] = test_below(&a->rng, 8) ? COMPRESS_LZ4 : COMPRESS_RAW;
        }
        ck_ok(packer_build(a->p, r, value, want, n));
        for (i = 0; i < n; i++) {
            ck_ok(record_build(&alone, value[i], want[i]));
            must_be_same(&r[i], &alone);
        }
    }
    for (i = 0; i < VALUES; i++)
        record_release(&r[i]);
    record_release(&alone);
    free(bytes);
    return NULL;
}

START_TEST(records_are_what_one_thread_makes)
{
    struct appender a[THREADS];
    pthread_t thread[THREADS];
    uint64_t seed = test_seed();
    struct packer *p;
    unsigned i;

    ck_ok(packer_new(&p)); /* NULL where there is one processor */
    for (i = 0; i < THREADS; i++) {
        a[i] = (struct appender){p, seed + i};
        ck_assert(!pthread_create(&thread[i], NULL, append_much, &a[i]));
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    packer_free(p);
    a[0].p = NULL;
    append_much(&a[0]);
}
END_TEST

START_TEST(a_value_that_is_too_long_fails_all)
{
    uint8_t *bytes = calloc(1, LEN);
    struct slice value[VALUES];
    enum compression want[VALUES];
    struct record r[VALUES] = {{.n_parts = 0}};
    struct packer *p;
    unsigned i, bad;

    ck_ok(packer_new(&p));
    for (bad = 0; bad < VALUES; bad++) {
        for (i = 0; i < VALUES; i++) {
            value[i] = slice_of(bytes, i == bad ? (size_t)RECORD_RAW_MAX + 1 : LEN);
            want[i] = COMPRESS_LZ4;
        }
        ck_assert_int_eq(packer_build(p, r, value, want, VALUES), -EINVAL);
    }
    for (i = 0; i < VALUES; i++)
        record_release(&r[i]);
    packer_free(p);
    free(bytes);
}
END_TEST

START_TEST(one_that_nobody_used_ends)
{
    struct packer *p;

    ck_ok(packer_new(&p));
    packer_free(p);
    packer_free(NULL);
}
END_TEST

TEST_MAIN("packer", TEST_CASE(records_are_what_one_thread_makes),
          TEST_CASE(a_value_that_is_too_long_fails_all),
          TEST_CASE(one_that_nobody_used_ends))
