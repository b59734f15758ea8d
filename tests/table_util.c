/*
 * table_util.c - see table_util.h.
 */
#include "table_util.h"

#include "lsm/hash.h"
#include "test.h"

struct table_builder *begin_table(const struct made_table *m,
                                  const struct table_kind *kind)
{
    struct table_builder_options o = {.env = m->env,
                                      .path = m->path,
                                      .number = m->number,
                                      .block_bytes = kind->block_bytes,
                                      .filter_bits = kind->filter_bits,
                                      .compression = kind->compression,
                                      .dictionary_bytes = kind->dictionary_bytes};
    struct table_builder *tb;

    ck_ok(table_builder_open(&o, &tb));
    return tb;
}

void make_table(struct made_table *m, const struct table_kind *kind,
                const struct entries *es, const struct test_range *ranges,
                size_t n_ranges)
{
    struct table_builder *tb = begin_table(m, kind);
    uint64_t size;
    size_t i;

    for (i = 0; i < n_ranges; i++)
        ck_ok(table_builder_add_range_delete(tb, slice_str(ranges[i].start),
                                             slice_str(ranges[i].end), ranges[i].seq));
    for (i = 0; i < es->n; i++)
        ck_ok(
            table_builder_add(tb, buf_slice(&es->e[i].ikey), buf_slice(&es->e[i].value)));
    ck_assert_uint_eq(table_builder_entries(tb), es->n + n_ranges);
    ck_assert(es->n == 0 || table_builder_size(tb) > 0);
    ck_ok(table_builder_finish(tb, &m->meta));
    ck_ok(env_stat(m->env, m->path, &size));
    ck_assert_uint_eq(size, m->meta.size);
}

int try_open_table(const struct made_table *m, struct cache *cache, struct table **out)
{
    struct table_open_options o = {.env = m->env,
                                   .path = m->path,
                                   .number = m->number,
                                   .size = m->meta.size,
                                   .cache = cache};

    return table_open(&o, out);
}

struct table *open_table(const struct made_table *m, struct cache *cache)
{
    struct table *t;

    ck_ok(try_open_table(m, cache, &t));
    return t;
}

void remove_table(struct made_table *m)
{
    table_meta_release(&m->meta);
    ck_ok(env_unlink(m->env, m->path));
}

void check_table_get(void *arg, const struct entries *es, struct slice ikey)
{
    struct table *t = arg;
    struct table_pin pin = {0};
    size_t i = entries_get(es, ikey);
    uint64_t trailer;
    struct slice value;

    if (i == es->n) {
        ck_err(table_get(t, ikey, &trailer, &value, &pin), ENOENT);
        return;
    }
    ck_assert(table_may_contain(t, hash_key(ikey_user(ikey))));
    ck_ok(table_get(t, ikey, &trailer, &value, &pin));
    ck_assert_uint_eq(trailer, ikey_trailer(buf_slice(&es->e[i].ikey)));
    ck_assert(slice_eq(value, buf_slice(&es->e[i].value)));
    table_unpin(&pin);
}

void check_table(struct table *t, const struct entries *es, uint64_t *r)
{
    struct iter *read = table_iter_new(t, TABLE_ITER_READ);
    struct iter *compact = table_iter_new(t, TABLE_ITER_COMPACT);

    ck_ok(table_verify(t, NULL));
    entries_check_walks(compact, es);
    entries_probe(es, r, entries_check_seek, compact);
    entries_check_walks(read, es);
    entries_check_walks(read, es);
    entries_probe(es, r, entries_check_seek, read);
    entries_probe(es, r, check_table_get, t);
    iter_free(read);
    iter_free(compact);
}
