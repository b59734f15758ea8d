/*
 * table.c - see table.h: opening a table, and point lookups.
 */
#include "table_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "bloom.h"

/* ---- opening ---- */

static int read_footer(struct table *t, uint64_t size)
{
    uint8_t bytes[TABLE_FOOTER];
    int rc;

    if (size < TABLE_FOOTER)
        return err_corrupt(t->path, 0, "%" PRIu64 " bytes are no table", size);
    t->layout.end = size - TABLE_FOOTER;
    rc = table_read(t, t->layout.end, bytes, sizeof(bytes));
    return rc ? rc : table_layout_decode(bytes, t->path, t->number, &t->layout);
}

static int read_properties(struct table *t)
{
    uint64_t at = t->layout.properties;
    struct loaded_block *lb;
    struct slice in;
    int rc;

    rc = table_load(t, at, (size_t)(t->layout.end - at), &lb);
    if (rc)
        return rc;
    in = lb->block.data;
    if (!table_meta_decode(&in, &t->meta) || in.len)
        rc = err_corrupt(t->path, at, "properties");
    else if (t->meta.number != t->number || t->meta.size != t->layout.end + TABLE_FOOTER)
        rc = err_corrupt(t->path, at,
                         "properties of table %" PRIu64 " with %" PRIu64 " bytes",
                         t->meta.number, t->meta.size);
    free(lb);
    return rc;
}

static int read_index(struct table *t)
{
    uint64_t at = t->layout.index;
    struct loaded_block *lb = NULL;
    struct slice in = {0};
    int rc;

    if (t->layout.properties > at) {
        rc = table_load(t, at, (size_t)(t->layout.properties - at), &lb);
        if (rc)
            return rc;
        in = lb->block.data;
    }
    rc = table_index_init(&t->index, in, &t->layout);
    free(lb);
    return rc == -EUCLEAN ? err_corrupt(t->path, at, "index") : rc;
}

/* Read into its place at once: it is large, and never compressed. */
static int read_filter(struct table *t)
{
    uint64_t at = t->layout.filter;
    size_t size = (size_t)(t->layout.range_deletes - at);
    struct table_payload payload;
    uint8_t *bytes;
    int rc;

    if (size == 0)
        return 0;
    bytes = env_alloc(size);
    if (!bytes)
        return -ENOMEM;
    t->filter = bytes;
    t->filter_alloc = size;
    rc = table_read(t, at, bytes, size);
    if (!rc)
        rc = table_block_open(slice_of(bytes, size), t->path, t->number, at, &payload);
    if (rc)
        return rc;
    t->filter_bytes = payload.bytes.len - TABLE_FILTER_TAIL;
    t->probes = bytes[t->filter_bytes];
    if (payload.type != COMPRESS_RAW || t->filter_bytes == 0 ||
        t->filter_bytes % BLOOM_LINE || t->probes < 1 || t->probes > 15)
        return err_corrupt(t->path, at, "filter");
    t->meta.filter_bytes = t->filter_bytes;
    return 0;
}

/* A filter only spares work: a table whose filter is damaged is read without. It was
 * logged, and table_verify tells it. */
static int read_sound_filter(struct table *t)
{
    int rc = read_filter(t);

    if (rc != -EUCLEAN)
        return rc;
    env_free(t->filter, t->filter_alloc);
    t->filter = NULL;
    t->filter_bytes = t->filter_alloc = 0;
    return 0;
}

/* Fragments in order: see table_builder_add_range_delete. */
static bool range_delete_follows(const struct range_tombstone *a,
                                 const struct range_tombstone *b)
{
    if (slice_eq(a->start, b->start) && slice_eq(a->end, b->end))
        return b->seq < a->seq;
    return slice_cmp(b->start, a->end) >= 0;
}

static int take_range_deletes(struct table *t, struct slice in)
{
    size_t cap = 0;

    while (in.len) {
        struct range_tombstone *r;

        if (t->n_range_deletes == cap) {
            cap = cap ? 2 * cap : 8;
            r = realloc(t->range_deletes, cap * sizeof(*r));
            if (!r)
                return -ENOMEM;
            t->range_deletes = r;
        }
        r = &t->range_deletes[t->n_range_deletes];
        if (!get_bytes(&in, &r->start) || !get_bytes(&in, &r->end) ||
            !get_varint(&in, &r->seq) || r->seq > IKEY_SEQ_STORED ||
            slice_cmp(r->start, r->end) >= 0)
            return -EUCLEAN;
        if (t->n_range_deletes && !range_delete_follows(r - 1, r))
            return -EUCLEAN;
        t->n_range_deletes++;
    }
    return 0;
}

static int read_range_deletes(struct table *t)
{
    uint64_t at = t->layout.range_deletes;
    size_t size = (size_t)(t->layout.index - at);
    int rc;

    if (size == 0)
        return 0;
    rc = table_load(t, at, size, &t->range_bytes);
    if (rc)
        return rc;
    rc = take_range_deletes(t, t->range_bytes->block.data);
    return rc == -EUCLEAN ? err_corrupt(t->path, at, "range deletes") : rc;
}

static int open_parts(struct table *t, uint64_t want_size)
{
    uint64_t size;
    int rc;

    rc = env_file_size(t->file, &size);
    if (rc)
        return rc;
    if (size != want_size)
        return err_corrupt(t->path, size < want_size ? size : want_size,
                           "%" PRIu64 " bytes long, not %" PRIu64, size, want_size);
    rc = read_footer(t, size);
    if (rc)
        return rc;
    rc = table_affords(t, t->layout.filter, size - t->layout.filter);
    if (rc)
        return rc;
    env_file_readahead(t->file, t->layout.filter, (size_t)(size - t->layout.filter));
    rc = read_properties(t);
    if (!rc)
        rc = read_index(t);
    if (!rc)
        rc = read_sound_filter(t);
    if (!rc)
        rc = read_range_deletes(t);
    return rc;
}

int table_open(const struct table_open_options *o, struct table **out)
{
    struct table *t = calloc(1, sizeof(*t));
    int rc = -ENOMEM;

    if (!t)
        return rc;
    t->number = o->number;
    t->cache = o->cache;
    t->memory = o->memory;
    t->path = strdup(o->path);
    if (!t->path)
        goto fail;
    rc = env_open(o->env, o->path, ENV_READ, 0, &t->file);
    if (rc)
        goto fail;
    rc = open_parts(t, o->size);
    if (rc == -EUCLEAN) /* as table_unpack_block */
        env_file_forget(t->file, 0, (size_t)o->size);
    if (rc)
        goto fail;
    *out = t;
    return 0;
fail:
    table_free(t);
    return rc;
}

void table_free(struct table *t)
{
    if (!t)
        return;
    (void)env_file_close(t->file); /* nothing was written */
    table_index_release(&t->index);
    table_meta_release(&t->meta);
    env_free(t->filter, t->filter_alloc);
    free(t->range_deletes);
    free(t->range_bytes);
    free(t->path);
    free(t);
}

/* ---- what it holds ---- */

const struct table_meta *table_meta(const struct table *t)
{
    return &t->meta;
}

struct table **table_link(struct table *t)
{
    return &t->link;
}

size_t table_memory(const struct table *t)
{
    size_t n = sizeof(*t) + t->index.bytes + t->filter_bytes;

    n += t->meta.smallest.cap + t->meta.largest.cap;
    n += t->meta.n_refs * sizeof(*t->meta.refs);
    n += t->n_range_deletes * sizeof(*t->range_deletes);
    if (t->range_bytes)
        n += loaded_block_bytes(t->range_bytes);
    return n;
}

const struct range_tombstone *table_range_deletes(const struct table *t, size_t *n)
{
    *n = t->n_range_deletes;
    return t->n_range_deletes ? t->range_deletes : NULL;
}

struct slice table_key_near(const struct table *t, unsigned i, unsigned n)
{
    if (!t->index.n)
        return buf_slice(&t->meta.smallest);
    return ikey_user(
        table_index_key(&t->index, (uint32_t)((uint64_t)t->index.n * i / n)));
}

double table_part_before(const struct table *t, struct slice user)
{
    return table_index_part(&t->index, buf_slice(&t->meta.smallest), user);
}

bool table_has_filter(const struct table *t)
{
    return t->filter != NULL;
}

bool table_may_contain(const struct table *t, uint64_t hash)
{
    return !t->filter || bloom_may_contain(t->filter, t->filter_bytes, t->probes, hash);
}

void table_fetch_filter(const struct table *t, uint64_t hash)
{
    if (t->filter)
        bloom_fetch(t->filter, t->filter_bytes, hash);
}

/* ---- data blocks ---- */

const struct block *table_pin_cached(struct table *t, uint32_t i, struct table_pin *pin)
{
    struct cache_entry *e;

    if (!t->cache)
        return NULL;
    e = cache_get_at(t->cache, &t->index.cached[i], t->number, t->index.at[i]);
    if (!e)
        return NULL;
    *pin = (struct table_pin){.cache = t->cache, .entry = e};
    return &((struct loaded_block *)cache_value(e))->block;
}

int table_pin_loaded(struct table *t, uint32_t i, struct loaded_block *lb,
                     const struct block **out, struct table_pin *pin)
{
    struct cache_entry *e;

    if (!lb->entry) {
        *pin = (struct table_pin){.owned = (uint8_t *)lb};
        *out = &lb->block;
        return 0;
    }
    e = cache_insert(t->cache, lb->entry);
    cache_remember(&t->index.cached[i], e);
    *pin = (struct table_pin){.cache = t->cache, .entry = e};
    *out = &((struct loaded_block *)cache_value(e))->block;
    return 0;
}

static int pin_block(struct table *t, uint32_t i, const struct block **out,
                     struct table_pin *pin)
{
    struct table_dict_ref dict = {0};
    struct loaded_block *lb;
    int rc;

    *out = table_pin_cached(t, i, pin);
    if (*out)
        return 0;
    rc = table_load_block(t, i, t->cache ? TABLE_BLOCK_KEEP : TABLE_BLOCK_ONCE, &dict,
                          &lb);
    table_dict_release(t, &dict);
    return rc ? rc : table_pin_loaded(t, i, lb, out, pin);
}

int table_get(struct table *t, struct slice ikey, uint64_t *trailer, struct slice *value,
              struct table_pin *pin)
{
    uint32_t i = table_index_find(&t->index, ikey);
    const struct block *b;
    int rc;

    if (i == t->index.n)
        return -ENOENT;
    rc = pin_block(t, i, &b, pin);
    if (rc)
        return rc;
    /* Past the end of block i there is no version of this key: see table_index. */
    rc = block_get(b, ikey, trailer, value);
    if (rc == 0)
        return 0;
    table_unpin(pin);
    return rc == -EUCLEAN ? table_bad_block(t, i) : rc;
}

void table_unpin(struct table_pin *pin)
{
    if (pin->entry)
        cache_unpin(pin->cache, pin->entry);
    free(pin->owned);
    *pin = (struct table_pin){0};
}
