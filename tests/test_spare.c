/*
 * test_spare.c - lsm/spare.h: what is kept, up to which limit, who gets it, and when it
 * goes back to the system.
 */
#include "test.h"

#include <pthread.h>

#include "lsm/env.h"
#include "lsm/spare.h"

enum { PIECE = 64 << 10, LIMIT = 4 * PIECE, THREADS = 2, TURNS = 2000 };

static struct spare spare_of(size_t limit)
{
    struct spare s;

    spare_init(&s);
    spare_set_limit(&s, limit);
    return s;
}

/* n pieces had and given. */
static void leave(struct spare *s, unsigned n)
{
    void *p[16];

    for (unsigned i = 0; i < n; i++)
        ck_assert_ptr_nonnull(p[i] = spare_alloc(s, PIECE));
    for (unsigned i = 0; i < n; i++)
        spare_free(s, p[i], PIECE);
}

START_TEST(a_piece_that_was_freed_is_the_next_of_its_size)
{
    struct spare s = spare_of(LIMIT);
    void *p = spare_alloc(&s, PIECE), *q = spare_alloc_pages(&s, PIECE);

    spare_free(&s, p, PIECE);
    spare_free(&s, q, PIECE);
    ck_assert_uint_eq(spare_bytes(&s), 2 * PIECE);
    ck_assert_ptr_eq(spare_alloc(&s, PIECE), q);
    ck_assert_ptr_eq(spare_alloc_pages(&s, PIECE), p);
    ck_assert_uint_eq(spare_bytes(&s), 0);
    spare_free(&s, p, PIECE);
    spare_free(&s, q, PIECE);
    spare_release(&s);
}
END_TEST

START_TEST(no_more_is_kept_than_the_limit)
{
    struct spare s = spare_of(LIMIT), none = spare_of(0);

    leave(&s, LIMIT / PIECE + 3);
    ck_assert_uint_eq(spare_bytes(&s), LIMIT);
    spare_drop(&s);
    ck_assert_uint_eq(spare_bytes(&s), 0);
    leave(&none, 2);
    ck_assert_uint_eq(spare_bytes(&none), 0);
    leave(NULL, 2);
    spare_release(&s);
    spare_release(&none);
}
END_TEST

START_TEST(who_wants_another_size_has_as_much_given_back)
{
    struct spare s = spare_of(LIMIT);
    void *p;

    leave(&s, 3);
    p = spare_alloc(&s, PIECE + 4096);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(spare_bytes(&s), PIECE);
    spare_free(&s, p, PIECE + 4096);
    ck_assert_uint_eq(spare_bytes(&s), 2 * PIECE + 4096);
    spare_release(&s);
}
END_TEST

START_TEST(what_nobody_has_added_to_for_a_while_is_dropped)
{
    struct spare s = spare_of(LIMIT);

    leave(&s, 1);
    spare_tend(&s, 2); /* sees what came */
    spare_tend(&s, 2);
    leave(&s, 2);
    spare_tend(&s, 2);
    spare_tend(&s, 2);
    ck_assert_uint_eq(spare_bytes(&s), 2 * PIECE);
    spare_tend(&s, 2);
    ck_assert_uint_eq(spare_bytes(&s), 0);
    spare_release(&s);
}
END_TEST

static void *have_and_give(void *arg)
{
    struct spare *s = arg;

    for (unsigned i = 0; i < TURNS; i++) {
        size_t bytes = i % 5 ? PIECE : 2 * PIECE;
        uint64_t *p = spare_alloc(s, bytes);

        ck_assert_ptr_nonnull(p);
        p[0] = p[bytes / 8 - 1] = i;
        if (i % 64 == 0)
            spare_tend(s, 1);
        ck_assert_uint_eq(p[0], i);
        ck_assert_uint_eq(p[bytes / 8 - 1], i);
        spare_free(s, p, bytes);
    }
    return NULL;
}

START_TEST(no_two_threads_have_the_same_piece)
{
    struct spare s = spare_of(LIMIT);
    pthread_t thread[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, have_and_give, &s), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    ck_assert_uint_le(spare_bytes(&s), LIMIT);
    spare_release(&s);
}
END_TEST

TEST_MAIN("spare", TEST_CASE_ALONE(a_piece_that_was_freed_is_the_next_of_its_size),
          TEST_CASE_ALONE(no_more_is_kept_than_the_limit),
          TEST_CASE_ALONE(who_wants_another_size_has_as_much_given_back),
          TEST_CASE_ALONE(what_nobody_has_added_to_for_a_while_is_dropped),
          TEST_CASE(no_two_threads_have_the_same_piece))
