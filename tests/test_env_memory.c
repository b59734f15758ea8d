/*
 * test_env_memory.c - env_alloc, env_alloc_pages and env_free: pieces of all sizes, so
 * many in sum that they come out of huge pages, hold what was written into them while
 * others come and go; and the system has it all back in the end.
 */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lsm/env.h"

enum {
    THREADS = 2,
    PIECES = 350, /* of a thread, at once; of 150 KiB on the average */
    ROUNDS = 1000,
    PAGE = 4096,
};

struct piece {
    uint8_t *p;
    size_t bytes;
    uint8_t mark;
};

/* At both ends and where pages begin. */
static void mark_piece(struct piece *piece, uint8_t mark)
{
    piece->mark = mark;
    for (size_t at = 0; at < piece->bytes; at += PAGE)
        piece->p[at] = mark;
    piece->p[piece->bytes - 1] = mark;
}

static void check_piece(const struct piece *piece)
{
    for (size_t at = 0; at < piece->bytes; at += PAGE)
        ck_assert_uint_eq(piece->p[at], piece->mark);
    ck_assert_uint_eq(piece->p[piece->bytes - 1], piece->mark);
}

static size_t random_bytes(uint64_t *r)
{
    switch (test_below(r, 40)) {
    case 0:
        return ENV_HUGE;
    case 1:
        return ENV_HUGE + 1 + test_below(r, ENV_HUGE);
    case 2:
        return 1 + test_below(r, ENV_HUGE);
    case 3:
        return 1 + test_below(r, 32 << 10);
    default:
        return (32 << 10) + test_below(r, 64 << 10);
    }
}

static void *come_and_go(void *arg)
{
    struct piece *pieces = calloc(PIECES, sizeof(*pieces));
    uint64_t r = *(const uint64_t *)arg;

    ck_assert_ptr_nonnull(pieces);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct piece *piece = &pieces[i < PIECES ? i : test_below(&r, PIECES)];

        if (piece->p)
            check_piece(piece);
        env_free(piece->p, piece->bytes);
        piece->bytes = random_bytes(&r);
        piece->p = i % 8 ? env_alloc(piece->bytes) : env_alloc_pages(piece->bytes);
        ck_assert_ptr_nonnull(piece->p);
        ck_assert_uint_eq((uintptr_t)piece->p % 64, 0);
        mark_piece(piece, (uint8_t)test_random(&r));
    }
    for (unsigned i = 0; i < PIECES; i++) {
        check_piece(&pieces[i]);
        env_free(pieces[i].p, pieces[i].bytes);
    }
    free(pieces);
    return NULL;
}

static size_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    size_t all = 0, resident = 0;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%zu %zu", &all, &resident), 2);
    fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

START_TEST(pieces_hold_what_was_written_and_go_back_in_the_end)
{
    uint64_t seed = test_seed(), r[THREADS];
    size_t before = resident_bytes();
    pthread_t thread[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = seed + i;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, come_and_go, &r[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    ck_assert_uint_lt(resident_bytes(), before + (16 << 20));
#endif
    (void)before;
}
END_TEST

TEST_MAIN("env memory", TEST_CASE(pieces_hold_what_was_written_and_go_back_in_the_end))
