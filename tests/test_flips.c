/*
 * test_flips.c - silent damage: any byte of a store changed, cut off, misplaced, lost.
 *
 * Wrong data is never returned, nothing is missing without a word, and what is not
 * reported changes nothing. In `make test` damages are drawn at random; in `make soak`
 * all there are of the small stores of flips.h are tried, and counted in a table.
 */
#include "tests/flips.h"

#include <stdlib.h>

enum { VICTIMS = STORE_STATES + 1 };

static void make_all(struct victim *v[VICTIMS], uint64_t seed)
{
    int i;

    flips_log();
    for (i = 0; i < STORE_STATES; i++)
        v[i] = victim_engine((enum store_state)i, seed);
    v[i] = victim_tree(seed);
}

static void finish(struct victim *v[], int n)
{
    int i;

    victims_print(v, n);
    for (i = 0; i < n; i++)
        victim_release(v[i]);
}

/* Every so many damages are also tried on a store that is written to. */
static void try_all(struct victim *v, enum damage_kind kind, unsigned step)
{
    struct damage d = {.kind = kind};
    uint64_t n = 0;

    while (damage_next(v, &d)) {
        victim_try(v, &d, false);
        if (n++ % step == 0)
            victim_try(v, &d, true);
    }
}

START_TEST(damage_anywhere_is_reported_or_changes_nothing)
{
    struct victim *v[VICTIMS];
    uint64_t rng = test_seed() | 1;
    struct damage d;
    struct soak s;

    make_all(v, test_seed());
    for (soak_begin(&s); soak_on(&s);) {
        struct victim *one = v[s.rounds % VICTIMS];

        rng = soak_seed(&s) | 1;
        damage_draw(one, &d, &rng);
        victim_try(one, &d, false);
        s.operations++;
        if (s.rounds % 16 < VICTIMS)
            victim_try(one, &d, true);
    }
    soak_end(&s);
    finish(v, VICTIMS);
}
END_TEST

static void exhaust(struct victim *v)
{
    int kind;

    flips_log();
    for (kind = 0; kind < DAMAGES; kind++)
        try_all(v, (enum damage_kind)kind, kind == DAMAGE_FLIP ? 101 : 31);
    finish(&v, 1);
}

START_TEST(every_byte_of_a_closed_store)
{
    exhaust(victim_engine(STORE_CLOSED, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_store_that_died)
{
    exhaust(victim_engine(STORE_DIED, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_store_that_was_recovered)
{
    exhaust(victim_engine(STORE_RECOVERED, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_checkpoint)
{
    exhaust(victim_engine(STORE_CHECKPOINT, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_filesystem)
{
    exhaust(victim_tree(test_seed()));
}
END_TEST

TEST_MAIN("flips", TEST_CASE_SOAK(damage_anywhere_is_reported_or_changes_nothing),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_closed_store),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_store_that_died),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_store_that_was_recovered),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_checkpoint),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_filesystem))
