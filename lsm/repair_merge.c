/*
 * repair_merge.c - new tables: of the memtable that the logs filled, and of
 * everything when the levels are not known.
 *
 * Without levels nothing tells which of two tables that overlap is to be asked
 * first: their sequence numbers may interleave. So all are merged by internal key,
 * of each key the newest version stays, and what is deleted goes: there is nothing
 * below.
 */
#include <stdlib.h>

#include "merge.h"
#include "repair_impl.h"

struct merging {
    struct repair *r;
    struct rangedel_set *ranges;
    struct buf user; /* the last key seen */
    bool has_user;
    struct table_builder *to;
    uint64_t number;
};

/* ---- the memtable ---- */

static int add_newest(struct repair *r, struct iter *it, struct table_builder *b)
{
    struct buf user = {0};
    bool has_user = false;
    int rc = 0;

    for (iter_first(it); it->valid && !rc; iter_next(it)) {
        if (has_user && slice_eq(buf_slice(&user), ikey_user(it->key)))
            continue;
        buf_assign(&user, ikey_user(it->key));
        has_user = true;
        rc = buf_error(&user);
        if (!rc)
            rc = repair_add(r, b, it->key, it->value);
    }
    buf_release(&user);
    return rc ? rc : it->err;
}

int repair_flush(struct repair *r)
{
    struct range_tombstone *all = NULL;
    struct rangedel_set *set = NULL;
    struct iter *it = memtable_iter_new(r->mem);
    struct table_builder *b = NULL;
    uint64_t number;
    size_t n, i;
    int rc = it ? memtable_range_deletes(r->mem, &all, &n) : -ENOMEM;

    if (!rc)
        rc = rangedel_build(all, n, NULL, 0, &set);
    if (!rc)
        rc = repair_build(r, 0, &b, &number);
    if (!rc)
        rc = add_newest(r, it, b);
    for (i = 0; !rc && i < set->n; i++)
        rc = table_builder_add_range_delete(b, set->list[i].start, set->list[i].end,
                                            set->list[i].seq);
    if (!rc) {
        rc = repair_built(r, b, number, 0);
        b = NULL;
    }
    table_builder_abandon(b);
    iter_free(it);
    rangedel_free(set);
    free(all);
    return rc;
}

/* ---- all tables ---- */

static int gather_ranges(struct merging *m)
{
    struct range_tombstone *all = NULL;
    size_t n = 0, i;
    int rc = 0;

    for (i = 0; i < m->r->n_tables && !rc; i++) {
        size_t count;
        const struct range_tombstone *list =
            table_range_deletes(m->r->table[i].table, &count);
        void *p = realloc(all, (n + count + 1) * sizeof(*all));

        if (!p) {
            rc = -ENOMEM;
            break;
        }
        all = p;
        if (count)
            memcpy(all + n, list, count * sizeof(*all));
        n += count;
    }
    if (!rc)
        rc = rangedel_build(all, n, NULL, 0, &m->ranges);
    free(all);
    return rc;
}

static int open_merge(struct repair *r, struct iter **out)
{
    struct iter **child = calloc(r->n_tables + 1, sizeof(*child));
    struct merge *m = NULL;
    size_t n;
    int rc = child ? 0 : -ENOMEM;

    for (n = 0; !rc && n < r->n_tables; n++) {
        child[n] = table_iter_new(r->table[n].table, TABLE_ITER_COMPACT);
        if (!child[n])
            rc = -ENOMEM;
    }
    if (!rc) {
        m = merge_new(child, (unsigned)n);
        rc = m ? 0 : -ENOMEM;
        n = 0;
    }
    while (rc && child && n)
        iter_free(child[--n]);
    free(child);
    *out = m ? merge_iter(m) : NULL;
    return rc;
}

static int close_output(struct merging *m)
{
    struct table_builder *b = m->to;

    m->to = NULL;
    return b ? repair_built(m->r, b, m->number, LSM_LEVELS - 1) : 0;
}

static int add_merged(struct merging *m, struct slice ikey, struct slice value)
{
    struct slice user = ikey_user(ikey);
    struct rangedel_span span;
    int rc = 0;

    if (m->has_user && slice_eq(buf_slice(&m->user), user))
        return 0; /* an older version */
    buf_assign(&m->user, user);
    m->has_user = true;
    if (buf_error(&m->user))
        return -ENOMEM;
    rangedel_span_init(&span);
    rangedel_ask(m->ranges->list, m->ranges->n, user, IKEY_SEQ_MAX, &span);
    if (span.seq > ikey_seq(ikey) || ikey_type(ikey) == IKEY_DELETE)
        return 0;
    if (m->to && table_builder_size(m->to) >= m->r->o->table_bytes)
        rc = close_output(m);
    if (!rc && !m->to)
        rc = repair_build(m->r, LSM_LEVELS - 1, &m->to, &m->number);
    return rc ? rc : table_builder_add(m->to, ikey, value);
}

/* The inputs leave r->table; what they held is in the outputs. */
static void drop_inputs(struct repair *r, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        struct repair_file *f = repair_find(r, FILE_TABLE, r->table[i].number);

        if (f)
            f->done = true;
        table_free(r->table[i].table);
    }
    r->n_tables -= n;
    memmove(r->table, r->table + n, r->n_tables * sizeof(*r->table));
}

int repair_merge(struct repair *r)
{
    struct merging m = {.r = r};
    size_t inputs = r->n_tables;
    struct iter *it = NULL;
    int rc;

    if (!inputs)
        return 0;
    rc = gather_ranges(&m);
    if (!rc)
        rc = open_merge(r, &it);
    if (!rc)
        for (iter_first(it); it->valid && !rc; iter_next(it))
            rc = add_merged(&m, it->key, it->value);
    if (!rc)
        rc = it->err;
    if (!rc)
        rc = close_output(&m);
    table_builder_abandon(m.to);
    iter_free(it);
    if (!rc)
        drop_inputs(r, inputs);
    rangedel_free(m.ranges);
    buf_release(&m.user);
    return rc;
}
