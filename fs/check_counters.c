/*
 * check_counters.c - the counters of a filesystem against what was found in it: the
 * next number, the count of inodes, and with a limit what is used.
 *
 * The count and what is used are written now and then, so that a crash leaves them
 * behind: that is no problem, unless they say that they are exact (usage.c). A repair
 * changes what is used, so its first batch takes that mark off, and the pass that
 * finds nothing more puts it back with the sums it made.
 */
#include "mend.h"

/* Of an inode or entry that has none of these bits. */
static uint64_t highest_number(const struct check *c, uint32_t without)
{
    uint64_t highest = 0, i;

    for (i = 0; i < c->inodes.slots; i++) {
        const struct known *k = &c->inodes.slot[i];

        if (k->ino > highest && !(k->bits & without) &&
            (has_record(k) || (k->bits & KNOWN_PLACED)))
            highest = k->ino;
    }
    return highest;
}

static uint64_t count_inodes(const struct check *c)
{
    uint64_t n = c->leaving, i;

    for (i = 0; i < c->inodes.slots; i++)
        n += has_record(&c->inodes.slot[i]);
    return n;
}

/* ---- before the passes ---- */

static int read_used(struct check *c)
{
    int rc = c->limited ? lsm_get(c->db, NULL, key_used(), &c->value) : 0;

    c->used = (struct used){0};
    if (!c->limited || (rc && rc != -ENOENT))
        return rc;
    if (rc || used_decode(c->value.value, &c->used)) {
        problem(c, "made anew", "the record of what is used is missing or damaged");
        c->used = (struct used){0};
        return mend_used(c, &c->used);
    }
    return 0;
}

int read_counters(struct check *c)
{
    int rc = lsm_get(c->db, NULL, key_next(), &c->value);

    c->next = 0;
    if (rc && rc != -ENOENT)
        return rc;
    if (rc || counter_decode(c->value.value, &c->next) || c->next < INO_FIRST) {
        problem(c, "set right", "the counter of numbers is missing or damaged");
        c->next = 0;
    }
    return read_used(c);
}

/* ---- after them ---- */

static int check_next(struct check *c)
{
    uint64_t highest = highest_number(c, KNOWN_MADE), all = highest_number(c, 0);

    if (c->next > all)
        return 0;
    if (c->next && c->next <= highest)
        problem(c, "set right",
                "the counter is at %" PRIu64 ", but %" PRIu64 " is in use", c->next,
                highest);
    c->next = (c->top > all ? c->top : all) + 1;
    return mend_counter(c, key_next(), c->next);
}

/* Of a damaged tree it is not known what is in use. */
static bool sums_valid(const struct check *c)
{
    return c->problems == c->before;
}

static int check_count(struct check *c, uint64_t found)
{
    uint64_t count = 0;
    int rc = lsm_get(c->db, NULL, key_count(), &c->value);

    if (rc && rc != -ENOENT)
        return rc;
    if (rc || counter_decode(c->value.value, &count)) {
        problem(c, "set right", "the count of inodes is missing or damaged");
    } else if (count == found) {
        return 0;
    } else if (sums_valid(c) && c->used.exact) {
        problem(c, "set right",
                "the count of inodes, which should be exact, is %" PRIu64
                ", not %" PRIu64,
                count, found);
    } else if (sums_valid(c)) {
        remark(c,
               "remark: the count of inodes, which a crash may leave behind, is %" PRIu64
               ", not %" PRIu64 "%s",
               count, found, c->repair ? "; set right" : "");
    }
    return mend_counter(c, key_count(), found);
}

static int check_used(struct check *c)
{
    /* More a hostile store may say, but not keep. */
    struct used right = {.bytes = c->bytes <= INO_MAX ? c->bytes : INO_MAX,
                         .exact = true};

    if (!c->limited || !sums_valid(c))
        return 0;
    if (c->used.exact && c->used.bytes != right.bytes) {
        problem(c, "set right",
                "the bytes used, which should be exact, are %" PRIu64 ", not %" PRIu64,
                c->used.bytes, right.bytes);
        return mend_used(c, &right);
    }
    return c->used.exact ? 0 : mend_used(c, &right);
}

int check_counters(struct check *c)
{
    int rc = check_next(c);

    if (!rc)
        rc = check_count(c, count_inodes(c));
    return rc ? rc : check_used(c);
}
