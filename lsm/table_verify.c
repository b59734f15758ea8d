/*
 * table_verify.c - checking a whole table: that every block is as it was written,
 * and that the parts agree. Reads past the cache.
 */
#include "block_entry.h"
#include "table_impl.h"

#include <stdlib.h>

#include "hash.h"

enum { ASKED_AT_ONCE = 16 };

struct verify {
    struct table *t;
    const struct table_check *check;
    struct table_dict_ref dict;
    uint32_t i;      /* the data block under way */
    bool under;      /* what is not above its key in the index is in the table's bounds */
    unsigned n_keys; /* of the block, of which the filter has not been asked */
    uint64_t key[ASKED_AT_ONCE]; /* their hashes */
    uint64_t entries;
    uint64_t deletes;
    bool at_end;       /* the last entry seen is its block's key in the index */
    bool block_begins; /* the next entry is the first of block i */
    const char *wrong; /* with the entry that ended a block's walk */
};

static bool below_largest(const struct table_meta *m, struct slice user)
{
    int c = slice_cmp(user, buf_slice(&m->largest));

    return c < 0 || (c == 0 && !m->largest_open);
}

static bool in_bounds(const struct table_meta *m, struct slice user)
{
    return slice_cmp(buf_slice(&m->smallest), user) <= 0 && below_largest(m, user);
}

/* The key of the block before may be a version of this one's user key only if it
 * is the last entry there: see struct table_index. */
static bool parted_well(const struct verify *v, struct slice ikey)
{
    struct slice before;

    if (!v->block_begins || v->i == 0)
        return true;
    before = table_index_key(&v->t->index, v->i - 1);
    return v->at_end || !slice_eq(ikey_user(before), ikey_user(ikey));
}

/* Within a block keys ascend, so one that begins it speaks for the others. */
static bool within_bounds(const struct verify *v, struct slice user)
{
    const struct table_meta *m = &v->t->meta;

    return (!v->block_begins || slice_cmp(buf_slice(&m->smallest), user) <= 0) &&
           (v->under || below_largest(m, user));
}

static bool in_wrong_block(const struct verify *v, struct slice ikey, int to_index)
{
    return to_index > 0 || (v->block_begins && v->i > 0 &&
                            ikey_cmp(ikey, table_index_key(&v->t->index, v->i - 1)) <= 0);
}

/* Each key is a cache miss, so all are fetched before the first is asked for. */
static void ask_filter(struct verify *v)
{
    bool all = true;

    for (unsigned i = 0; i < v->n_keys; i++)
        all &= table_may_contain(v->t, v->key[i]);
    v->n_keys = 0;
    if (!all && !v->wrong)
        v->wrong = "a key that the filter does not know";
}

static void take_key(struct verify *v, uint64_t hash)
{
    table_fetch_filter(v->t, hash);
    v->key[v->n_keys++] = hash;
    if (v->n_keys == ASKED_AT_ONCE)
        ask_filter(v);
}

static int check_entry(void *arg, struct slice ikey, struct slice value)
{
    struct verify *v = arg;
    const struct table *t = v->t;
    int to_index = ikey_cmp(ikey, table_index_key(&t->index, v->i));

    if (ikey_type(ikey) == IKEY_RANGE_DELETE)
        v->wrong = "a range delete among points";
    else if (!within_bounds(v, ikey_user(ikey)))
        v->wrong = "a key out of the table's bounds";
    else if (ikey_seq(ikey) < t->meta.seq_min || ikey_seq(ikey) > t->meta.seq_max)
        v->wrong = "a sequence out of the table's bounds";
    else if (in_wrong_block(v, ikey, to_index))
        v->wrong = "a key in the wrong block";
    else if (!parted_well(v, ikey))
        v->wrong = "a user key in two blocks";
    v->block_begins = false;
    v->at_end = to_index == 0;
    v->entries++;
    v->deletes += ikey_type(ikey) == IKEY_DELETE;
    take_key(v, hash_key(ikey_user(ikey)));
    if (!v->wrong && v->check->entry)
        v->check->entry(v->check->arg, ikey, value);
    return v->wrong ? -EUCLEAN : 0;
}

/* Is block i, whose dictionary is damaged, at least as it was written? */
static int verify_sealed(struct table *t, uint32_t i)
{
    size_t size = table_block_size(t, i);
    uint8_t *bytes = malloc(size);
    struct table_payload p;
    int rc = bytes ? table_read(t, t->index.at[i], bytes, size) : -ENOMEM;

    if (!rc)
        rc = table_block_open(slice_of(bytes, size), t->path, t->number, t->index.at[i],
                              &p);
    free(bytes);
    return rc;
}

static int verify_block(struct verify *v, uint32_t i)
{
    struct table *t = v->t;
    struct loaded_block *lb;
    int rc;

    rc = table_load_block(t, i, TABLE_BLOCK_ONCE, &v->dict, &lb);
    if (rc && rc == v->dict.rc)
        return verify_sealed(t, i);
    if (rc)
        return rc;
    v->i = i;
    v->under = below_largest(&t->meta, ikey_user(table_index_key(&t->index, i)));
    v->block_begins = true;
    v->wrong = NULL;
    v->n_keys = 0;
    rc = block_verify(&lb->block, check_entry, v);
    if (!rc)
        ask_filter(v);
    if (!rc && v->wrong)
        rc = -EUCLEAN;
    if (rc == -EUCLEAN)
        rc = v->wrong ? err_corrupt(t->path, t->index.at[i], "%s", v->wrong)
                      : table_bad_block(t, i);
    free(lb);
    return rc;
}

/* The other parts were checked when the table was opened; are they still sound? */
static int verify_part(struct table *t, uint64_t at, uint64_t end)
{
    struct loaded_block *lb;
    int rc;

    if (at == end)
        return 0;
    rc = table_load(t, at, (size_t)(end - at), &lb);
    if (!rc)
        free(lb);
    return rc;
}

static int verify_footer(struct table *t)
{
    struct table_layout again = t->layout;
    uint8_t bytes[TABLE_FOOTER];
    int rc;

    rc = table_read(t, t->layout.end, bytes, sizeof(bytes));
    return rc ? rc : table_layout_decode(bytes, t->path, t->number, &again);
}

static void keep_first(int *first, int rc)
{
    if (!*first)
        *first = rc;
}

static void tell_bad(const struct verify *v, int err, uint64_t offset, struct slice first,
                     struct slice last)
{
    if (err && v->check->bad)
        v->check->bad(v->check->arg, err, offset, first, last);
}

/* Blocks [i, end) cannot be read, because of what lies at offset. */
static void tell_bad_blocks(const struct verify *v, int err, uint64_t offset, uint32_t i,
                            uint32_t end)
{
    const struct table *t = v->t;

    tell_bad(v, err, offset,
             i ? ikey_user(table_index_key(&t->index, i - 1))
               : buf_slice(&t->meta.smallest),
             ikey_user(table_index_key(&t->index, end - 1)));
}

static int verify_dict(struct verify *v, uint32_t k)
{
    const struct table_index *x = &v->t->index;
    int rc = table_dict_get(v->t, k, &v->dict);

    tell_bad_blocks(v, rc, x->dict[k].at, x->dict[k].block,
                    k + 1 < x->n_dicts ? x->dict[k + 1].block : x->n);
    return rc;
}

static int verify_data(struct verify *v, int *stopped)
{
    const struct table_index *x = &v->t->index;
    uint32_t i, k = 0;
    int rc = 0, one;

    for (i = 0; i < x->n && !*stopped; i++) {
        if (k < x->n_dicts && x->dict[k].block == i)
            keep_first(&rc, verify_dict(v, k++));
        one = verify_block(v, i);
        tell_bad_blocks(v, one, x->at[i], i, i + 1);
        keep_first(&rc, one);
        if (v->check->took)
            *stopped = v->check->took(v->check->arg, table_block_size(v->t, i));
    }
    table_dict_release(v->t, &v->dict);
    return rc;
}

/* The parts after the data. What they say is in memory, if the table is open: damage
 * shows when it is opened anew. */
static int verify_parts(struct verify *v)
{
    const struct table_layout *l = &v->t->layout;
    const uint64_t at[] = {l->filter, l->range_deletes, l->index, l->properties, l->end};
    const struct slice none = slice_of(NULL, 0);
    int rc = 0, one;
    size_t i;

    for (i = 0; i < 5; i++) {
        one = i < 4 ? verify_part(v->t, at[i], at[i + 1]) : verify_footer(v->t);
        tell_bad(v, one, at[i], i ? buf_slice(&v->t->meta.smallest) : none,
                 i ? buf_slice(&v->t->meta.largest) : none);
        keep_first(&rc, one);
    }
    return rc;
}

int table_verify(struct table *t, const struct table_check *check)
{
    static const struct table_check deaf;
    struct table_layout *l = &t->layout;
    struct verify v = {.t = t, .check = check ? check : &deaf, .dict.aside = true};
    size_t k;
    int stopped = 0, rc, parts, first;

    env_file_forget(t->file, 0, (size_t)t->meta.size);
    first = rc = verify_data(&v, &stopped);
    if (stopped)
        return stopped;
    parts = verify_parts(&v);

    if (!rc && (v.entries != t->meta.entries || v.deletes != t->meta.deletes ||
                t->n_range_deletes != t->meta.range_deletes))
        rc = err_corrupt(t->path, l->properties, "counts differ from what is there");
    for (k = 0; k < t->n_range_deletes && !rc; k++)
        if (!in_bounds(&t->meta, t->range_deletes[k].start) ||
            slice_cmp(t->range_deletes[k].end, buf_slice(&t->meta.largest)) > 0)
            rc = err_corrupt(t->path, l->range_deletes, "out of the table's bounds");
    if (rc && !first) /* of no block alone */
        tell_bad(&v, rc, l->properties, buf_slice(&t->meta.smallest),
                 buf_slice(&t->meta.largest));
    return rc ? rc : parts;
}
