/*
 * test_plus.c - mount/plus.h: which entries of a listing come with attributes.
 */
#include "test.h"

#include "mount/plus.h"

/* So many entries with attributes, in replies of 100; how many requests had none before
 * that. */
static unsigned bare_before(struct plus *p, uint32_t lookups, unsigned entries)
{
    unsigned bare = 0;

    while (entries) {
        if (!plus_begin(p, lookups, false)) {
            if (++bare > 1000)
                return bare;
            continue;
        }
        for (unsigned i = 0; i < 100 && entries; i++, entries--)
            plus_give(p);
    }
    return bare;
}

START_TEST(the_first_entries_come_with_attributes_and_no_more)
{
    struct plus p = {0};

    ck_assert(plus_begin(&p, 7, true));
    ck_assert_uint_eq(bare_before(&p, 7, PLUS_AHEAD), 0);
    ck_assert(!plus_begin(&p, 7, false));
    ck_assert(!plus_begin(&p, 7, false));
}
END_TEST

START_TEST(who_misses_them_gets_them_again)
{
    struct plus p = {0};

    plus_begin(&p, UINT32_MAX, true);
    bare_before(&p, UINT32_MAX, PLUS_AHEAD);
    ck_assert(!plus_begin(&p, UINT32_MAX, false));
    ck_assert(plus_begin(&p, 0, false)); /* the count wrapped */
    ck_assert_uint_eq(bare_before(&p, 0, PLUS_AHEAD), 0);
    ck_assert(!plus_begin(&p, 0, false));
}
END_TEST

START_TEST(lookups_of_earlier_are_no_reason)
{
    struct plus p = {0};

    plus_begin(&p, 1, true);
    bare_before(&p, 5, PLUS_AHEAD); /* others' lookups, while there were attributes */
    ck_assert(!plus_begin(&p, 5, false));
}
END_TEST

START_TEST(a_listing_that_begins_anew_begins_with_them)
{
    struct plus p = {0};

    plus_begin(&p, 0, true);
    bare_before(&p, 0, PLUS_AHEAD);
    ck_assert(!plus_begin(&p, 0, false));
    ck_assert(plus_begin(&p, 0, true));
}
END_TEST

TEST_MAIN("plus", TEST_CASE(the_first_entries_come_with_attributes_and_no_more),
          TEST_CASE(who_misses_them_gets_them_again),
          TEST_CASE(lookups_of_earlier_are_no_reason),
          TEST_CASE(a_listing_that_begins_anew_begins_with_them))
