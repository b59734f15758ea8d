/*
 * test_env_streams.c - lsm/env_streams.h: what is fetched ahead of reads that go on in
 * order.
 */
#include "test.h"

#include "lsm/env_streams.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

#define FILE_BYTES ((uint64_t)1000 * MIB)

/* Fetched so far, without gaps, from where it began. */
struct seen {
    struct read_streams streams;
    uint64_t carry, fetched, upto;
};

static size_t note(struct seen *s, uint64_t off, size_t len)
{
    uint64_t from = 0;
    size_t n = read_streams_note(&s->streams, off, len, FILE_BYTES, &s->carry, &from);

    if (n) {
        ck_assert_uint_ge(from, off + len);
        s->upto = from + n;
    }
    s->fetched += n;
    return n;
}

START_TEST(a_single_read_in_the_middle_fetches_nothing)
{
    struct seen s = {0};

    ck_assert_uint_eq(note(&s, 100 * MIB, MIB), 0);
}
END_TEST

START_TEST(a_read_at_the_beginning_is_gone_on_from)
{
    struct seen s = {0};

    ck_assert_uint_eq(note(&s, 0, 128 * KIB), 128 * KIB);
    ck_assert_uint_eq(s.upto, 256 * KIB);
}
END_TEST

START_TEST(reads_in_order_find_what_they_read_fetched)
{
    struct seen s = {0};
    uint64_t at = 500 * MIB;
    int i, missed = 0;

    for (i = 0; i < 1000; i++, at += 128 * KIB) {
        missed += i > 1 && at + 128 * KIB > s.upto;
        note(&s, at, 128 * KIB);
        if (s.upto > at + 128 * KIB)
            ck_assert_uint_le(s.upto - (at + 128 * KIB), STREAM_AHEAD);
    }
    ck_assert_int_eq(missed, 0);
    ck_assert_uint_ge(s.upto, at + STREAM_AHEAD / 2);
}
END_TEST

START_TEST(headers_behind_and_neighbours_swapped_do_not_end_a_stream)
{
    struct seen s = {0};
    uint64_t at = 0;
    int i, missed = 0;

    for (i = 0; i < 200; i++, at += 256 * KIB) {
        missed += i > 2 && at + 256 * KIB > s.upto;
        note(&s, at + 128 * KIB, 128 * KIB);
        note(&s, at, 128 * KIB);
        note(&s, at + 100, 28);
    }
    ck_assert_int_eq(missed, 0);
}
END_TEST

START_TEST(streams_run_beside_each_other)
{
    struct seen s = {0};
    uint64_t upto[STREAMS] = {0};
    int i, j;

    for (i = 0; i < 50; i++) {
        for (j = 0; j < STREAMS; j++) {
            uint64_t at = (uint64_t)(j + 1) * 100 * MIB + (uint64_t)i * 64 * KIB;

            if (i > 2)
                ck_assert_uint_ge(upto[j], at + 64 * KIB);
            s.upto = upto[j];
            note(&s, at, 64 * KIB);
            upto[j] = s.upto;
        }
    }
}
END_TEST

START_TEST(reading_here_and_there_fetches_no_more_than_it_reads)
{
    struct seen s = {0};
    uint64_t seed = test_seed(), read = 0;
    int i;

    for (i = 0; i < 20000; i++) {
        size_t len = 1 + test_random(&seed) % (128 * KIB);

        /* Near enough to one another to be taken for streams at times. */
        note(&s, test_random(&seed) % (40 * MIB), len);
        read += len;
    }
    ck_assert_uint_le(s.fetched, read);
}
END_TEST

START_TEST(who_reads_a_file_to_its_end_goes_on_in_another)
{
    struct read_streams one = {0}, two = {0}, three = {0};
    uint64_t carry = 0, from = 1, at;

    for (at = 0; at < 32 * MIB; at += 128 * KIB)
        read_streams_note(&one, at, 128 * KIB, 32 * MIB, &carry, &from);
    ck_assert_uint_eq(carry, STREAM_AHEAD);
    /* Of several threads that read the beginning another was first. */
    ck_assert_uint_eq(
        read_streams_note(&two, 256 * KIB, 128 * KIB, 32 * MIB, &carry, &from),
        384 * KIB + STREAM_AHEAD);
    ck_assert_uint_eq(from, 0);
    ck_assert_uint_eq(carry, 0);
    /* Once. */
    ck_assert_uint_eq(
        read_streams_note(&three, 256 * KIB, 128 * KIB, 32 * MIB, &carry, &from), 0);
}
END_TEST

START_TEST(a_read_in_the_middle_of_another_file_is_no_continuation)
{
    struct read_streams s = {0};
    uint64_t carry = STREAM_AHEAD, from;

    ck_assert_uint_eq(
        read_streams_note(&s, 10 * MIB, 128 * KIB, 32 * MIB, &carry, &from), 0);
    ck_assert_uint_eq(carry, STREAM_AHEAD);
}
END_TEST

TEST_MAIN("env streams", TEST_CASE(a_single_read_in_the_middle_fetches_nothing),
          TEST_CASE(a_read_at_the_beginning_is_gone_on_from),
          TEST_CASE(reads_in_order_find_what_they_read_fetched),
          TEST_CASE(headers_behind_and_neighbours_swapped_do_not_end_a_stream),
          TEST_CASE(streams_run_beside_each_other),
          TEST_CASE(reading_here_and_there_fetches_no_more_than_it_reads),
          TEST_CASE(who_reads_a_file_to_its_end_goes_on_in_another),
          TEST_CASE(a_read_in_the_middle_of_another_file_is_no_continuation))
