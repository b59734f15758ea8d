/*
 * tally.c - see tally.h. Open addressing, at most half full.
 */
#include "tally.h"

#include <inttypes.h>
#include <stdlib.h>

#include "hash.h"

enum { CAP_FIRST = 64 };

struct tally_table {
    struct table_meta meta; /* its number only, when it is gone */
    unsigned level;
    bool used, there;
};

struct tally_segment {
    uint64_t number, size;
    bool used, there;
};

void tally_release(struct tally *t)
{
    size_t i;

    for (i = 0; i < t->cap_tables; i++)
        if (t->table[i].there)
            table_meta_release(&t->table[i].meta);
    free(t->table);
    free(t->segment);
    *t = (struct tally){0};
}

/* ---- slots: its own, or the free one where it belongs ---- */

static size_t home_of(uint64_t number, size_t cap)
{
    return hash_bytes(&number, sizeof(number), 0) & (cap - 1);
}

static struct tally_table *table_slot(struct tally_table *slot, size_t cap,
                                      uint64_t number)
{
    size_t i = home_of(number, cap);

    while (slot[i].used && slot[i].meta.number != number)
        i = (i + 1) & (cap - 1);
    return &slot[i];
}

static struct tally_segment *segment_slot(struct tally_segment *slot, size_t cap,
                                          uint64_t number)
{
    size_t i = home_of(number, cap);

    while (slot[i].used && slot[i].number != number)
        i = (i + 1) & (cap - 1);
    return &slot[i];
}

static int grow_tables(struct tally *t)
{
    size_t cap = t->cap_tables ? 2 * t->cap_tables : CAP_FIRST, i;
    struct tally_table *slot = calloc(cap, sizeof(*slot));

    if (!slot)
        return -ENOMEM;
    for (i = 0; i < t->cap_tables; i++)
        if (t->table[i].used)
            *table_slot(slot, cap, t->table[i].meta.number) = t->table[i];
    free(t->table);
    t->table = slot;
    t->cap_tables = cap;
    return 0;
}

static int grow_segments(struct tally *t)
{
    size_t cap = t->cap_segments ? 2 * t->cap_segments : CAP_FIRST, i;
    struct tally_segment *slot = calloc(cap, sizeof(*slot));

    if (!slot)
        return -ENOMEM;
    for (i = 0; i < t->cap_segments; i++)
        if (t->segment[i].used)
            *segment_slot(slot, cap, t->segment[i].number) = t->segment[i];
    free(t->segment);
    t->segment = slot;
    t->cap_segments = cap;
    return 0;
}

/* ---- applying ---- */

static int remove_table(struct tally *t, const struct edit_removed *e, const char *where)
{
    struct tally_table *slot =
        t->n_tables ? table_slot(t->table, t->cap_tables, e->number) : NULL;

    if (!slot || !slot->there || slot->level != e->level)
        return err_corrupt(where, 0,
                           "an edit removes table %" PRIu64 ", which L%u does not have",
                           e->number, e->level);
    table_meta_release(&slot->meta);
    slot->meta.number = e->number;
    slot->there = false;
    return 0;
}

static int add_table(struct tally *t, struct edit_table *e, const char *where)
{
    struct tally_table *slot;

    if (2 * (t->n_tables + 1) > t->cap_tables && grow_tables(t))
        return -ENOMEM;
    slot = table_slot(t->table, t->cap_tables, e->meta.number);
    if (slot->there)
        return err_corrupt(where, 0, "an edit adds table %" PRIu64 ", which is there",
                           e->meta.number);
    if (e->level >= LSM_LEVELS)
        return err_corrupt(where, 0, "an edit adds to L%u", e->level);
    t->n_tables += !slot->used;
    *slot = (struct tally_table){e->meta, e->level, true, true};
    e->meta = (struct table_meta){0};
    return 0;
}

static int set_segment(struct tally *t, uint64_t number, uint64_t size, bool there)
{
    struct tally_segment *slot;

    if (2 * (t->n_segments + 1) > t->cap_segments && grow_segments(t))
        return -ENOMEM;
    slot = segment_slot(t->segment, t->cap_segments, number);
    t->n_segments += !slot->used;
    *slot = (struct tally_segment){number, size, true, there};
    return 0;
}

int tally_apply(struct tally *t, struct edit *e, const char *where)
{
    size_t i;
    int rc = 0;

    /* A table that moves between levels is removed and added by one edit. */
    for (i = 0; i < e->n_removed && !rc; i++)
        rc = remove_table(t, &e->removed[i], where);
    for (i = 0; i < e->n_added && !rc; i++)
        rc = add_table(t, &e->added[i], where);
    for (i = 0; i < e->n_sealed && !rc; i++)
        rc = set_segment(t, e->sealed[i].number, e->sealed[i].size, true);
    for (i = 0; i < e->n_dropped && !rc; i++)
        rc = set_segment(t, e->dropped[i], 0, false);
    return rc;
}

/* ---- what is left ---- */

int tally_version(struct tally *t, struct table_cache *tables, const char *where,
                  struct version **out)
{
    struct version *empty = version_new();
    struct edit all = {0};
    int rc = empty ? 0 : -ENOMEM;
    size_t i;

    for (i = 0; i < t->cap_tables && !rc; i++) {
        struct tally_table *slot = &t->table[i];

        if (!slot->there)
            continue;
        rc = edit_add_table(&all, slot->level, &slot->meta); /* takes it */
        slot->there = rc != 0;
    }
    if (!rc)
        rc = version_apply(empty, &all, tables, where, out);
    edit_release(&all);
    version_unref(empty);
    return rc;
}

static int by_number(const void *a, const void *b)
{
    const struct edit_segment *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

int tally_segments(const struct tally *t, struct edit_segment **list, size_t *n)
{
    struct edit_segment *to = malloc((t->n_segments + 1) * sizeof(*to));
    size_t i;

    *list = to;
    *n = 0;
    if (!to)
        return -ENOMEM;
    for (i = 0; i < t->cap_segments; i++)
        if (t->segment[i].there)
            to[(*n)++] = (struct edit_segment){t->segment[i].number, t->segment[i].size};
    qsort(to, *n, sizeof(*to), by_number);
    return 0;
}
