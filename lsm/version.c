/*
 * version.c - see version.h.
 */
#include "version.h"

#include <inttypes.h>
#include <stdlib.h>

struct version *version_new(void)
{
    struct version *v = calloc(1, sizeof(*v));

    if (v)
        atomic_init(&v->refs, 1);
    return v;
}

void version_ref(struct version *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
}

void version_unref(struct version *v)
{
    unsigned level;
    size_t i;

    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++)
            tfile_unref(v->file[level][i]);
        free(v->file[level]);
    }
    free(v);
}

/* ---- ranges ---- */

int table_range_cmp(const struct table_meta *m, struct slice key)
{
    int c;

    if (key_cmp(key, buf_slice(&m->smallest)) < 0)
        return -1;
    c = key_cmp(key, buf_slice(&m->largest));
    return c > 0 || (c == 0 && m->largest_open);
}

void key_range_of(struct key_range *r, const struct table_meta *m)
{
    r->lo = buf_slice(&m->smallest);
    r->hi = buf_slice(&m->largest);
    r->hi_open = m->largest_open;
}

void key_range_add(struct key_range *r, bool *empty, const struct table_meta *m)
{
    struct key_range other;
    int c;

    key_range_of(&other, m);
    if (*empty) {
        *r = other;
        *empty = false;
        return;
    }
    if (key_cmp(other.lo, r->lo) < 0)
        r->lo = other.lo;
    c = key_cmp(other.hi, r->hi);
    if (c > 0 || (c == 0 && !other.hi_open)) {
        r->hi = other.hi;
        r->hi_open = other.hi_open;
    }
}

/* Does a range that ends at hi end before key? */
static bool ends_before(struct slice hi, bool hi_open, struct slice key)
{
    int c = key_cmp(hi, key);

    return c < 0 || (c == 0 && hi_open);
}

bool key_range_touches(const struct key_range *r, const struct table_meta *m)
{
    return !ends_before(r->hi, r->hi_open, buf_slice(&m->smallest)) &&
           !ends_before(buf_slice(&m->largest), m->largest_open, r->lo);
}

bool table_ranges_overlap(const struct table_meta *a, const struct table_meta *b)
{
    struct key_range r;

    key_range_of(&r, a);
    return key_range_touches(&r, b);
}

size_t version_find(const struct version *v, unsigned level, struct slice key)
{
    size_t lo = 0, hi = v->n[level];

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct table_meta *m = &v->file[level][mid]->meta;

        if (ends_before(buf_slice(&m->largest), m->largest_open, key))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void version_overlap(const struct version *v, unsigned level, const struct key_range *r,
                     size_t *first, size_t *end)
{
    *first = *end = version_find(v, level, r->lo);
    while (*end < v->n[level] && key_range_touches(r, &v->file[level][*end]->meta))
        (*end)++;
}

/* ---- a new version ---- */

/* L0: newest first. Below: by key. */
static int l0_order(const void *a, const void *b)
{
    const struct table_meta *x = &(*(struct tfile *const *)a)->meta;
    const struct table_meta *y = &(*(struct tfile *const *)b)->meta;

    if (x->seq_max != y->seq_max)
        return x->seq_max > y->seq_max ? -1 : 1;
    return x->number > y->number ? -1 : x->number < y->number;
}

static int key_order(const void *a, const void *b)
{
    const struct table_meta *x = &(*(struct tfile *const *)a)->meta;
    const struct table_meta *y = &(*(struct tfile *const *)b)->meta;

    return key_cmp(buf_slice(&x->smallest), buf_slice(&y->smallest));
}

static bool is_removed(const struct edit *e, unsigned level, uint64_t number)
{
    size_t i;

    for (i = 0; i < e->n_removed; i++)
        if (e->removed[i].level == level && e->removed[i].number == number)
            return true;
    return false;
}

/* A table that the edit moves between levels keeps its tfile. */
static struct tfile *find_in(const struct version *v, uint64_t number)
{
    unsigned level;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < v->n[level]; i++)
            if (v->file[level][i]->meta.number == number)
                return v->file[level][i];
    return NULL;
}

static int add_added(struct version *v, struct version *base, const struct edit *e,
                     struct table_cache *tables, unsigned level)
{
    size_t i;

    for (i = 0; i < e->n_added; i++) {
        struct tfile *f;
        int rc;

        if (e->added[i].level != level)
            continue;
        f = find_in(base, e->added[i].meta.number);
        if (f) {
            tfile_ref(f);
        } else {
            rc = tfile_new(tables, &e->added[i].meta, &f);
            if (rc)
                return rc;
        }
        v->file[level][v->n[level]++] = f;
    }
    return 0;
}

static int check_level(const struct version *v, unsigned level, const char *where)
{
    size_t i;

    for (i = 0; i + 1 < v->n[level]; i++) {
        const struct table_meta *a = &v->file[level][i]->meta;
        const struct table_meta *b = &v->file[level][i + 1]->meta;

        if (a->number == b->number || table_ranges_overlap(a, b))
            return err_corrupt(where, 0,
                               "tables %" PRIu64 " and %" PRIu64 " overlap at L%u",
                               a->number, b->number, level);
    }
    return 0;
}

static int build_level(struct version *v, struct version *base, const struct edit *e,
                       struct table_cache *tables, unsigned level, const char *where)
{
    size_t i, j, removed = 0;
    int rc;

    v->file[level] = calloc(base->n[level] + e->n_added + 1, sizeof(*v->file[level]));
    if (!v->file[level])
        return -ENOMEM;
    for (i = 0; i < base->n[level]; i++) {
        struct tfile *f = base->file[level][i];

        if (is_removed(e, level, f->meta.number)) {
            removed++;
            continue;
        }
        tfile_ref(f);
        v->file[level][v->n[level]++] = f;
    }
    for (i = 0; i < e->n_removed; i++)
        removed -= e->removed[i].level == level;
    if (removed)
        return err_corrupt(where, 0, "an edit removes a table that L%u does not have",
                           level);
    rc = add_added(v, base, e, tables, level);
    if (rc)
        return rc;
    qsort(v->file[level], v->n[level], sizeof(*v->file[level]),
          level ? key_order : l0_order);
    for (i = 0; i < v->n[level]; i++) {
        const struct table_meta *m = &v->file[level][i]->meta;

        v->bytes[level] += m->size;
        v->entries[level] += m->entries;
        v->deletes[level] += m->deletes;
        v->has_ranges[level] |= m->range_deletes > 0;
        for (j = 0; j < m->n_refs; j++)
            v->ref_bytes[level] += m->refs[j].bytes;
    }
    return level ? check_level(v, level, where) : 0;
}

int version_apply(struct version *base, const struct edit *e, struct table_cache *tables,
                  const char *where, struct version **out)
{
    struct version *v = version_new();
    unsigned level;
    size_t i;
    int rc = v ? 0 : -ENOMEM;

    for (i = 0; i < e->n_added && !rc; i++)
        if (e->added[i].level >= LSM_LEVELS)
            rc = err_corrupt(where, 0, "an edit adds to L%u", e->added[i].level);
    for (i = 0; i < e->n_removed && !rc; i++)
        if (e->removed[i].level >= LSM_LEVELS)
            rc = err_corrupt(where, 0, "an edit removes from L%u", e->removed[i].level);
    for (level = 0; level < LSM_LEVELS && !rc; level++)
        rc = build_level(v, base, e, tables, level, where);
    if (rc) {
        version_unref(v);
        return rc;
    }
    *out = v;
    return 0;
}

/* ---- range deletes ---- */

enum { RANGE_KEYS = 64 * 1024 }; /* a chunk of the arena */

void range_list_init(struct range_list *l)
{
    memset(l, 0, sizeof(*l));
    arena_init(&l->keys, RANGE_KEYS, NULL);
}

void range_list_release(struct range_list *l)
{
    free(l->list);
    arena_release(&l->keys);
}

static bool copy_key(struct range_list *l, struct slice *key)
{
    uint8_t *to = arena_alloc(&l->keys, 0, key->len + 1);

    if (!to)
        return false;
    if (key->len)
        memcpy(to, key->data, key->len);
    key->data = to;
    return true;
}

static int add_copies(struct range_list *l, const struct range_tombstone *list, size_t n)
{
    size_t i;

    if (l->n + n > l->cap) {
        size_t cap = 2 * (l->n + n);
        void *p = realloc(l->list, cap * sizeof(*l->list));

        if (!p)
            return -ENOMEM;
        l->list = p;
        l->cap = cap;
    }
    for (i = 0; i < n; i++) {
        struct range_tombstone t = list[i];

        if (!copy_key(l, &t.start) || !copy_key(l, &t.end))
            return -ENOMEM;
        l->list[l->n++] = t;
    }
    return 0;
}

int range_list_add(struct range_list *l, struct tfile *f)
{
    const struct range_tombstone *list;
    struct table *t;
    size_t n;
    int rc;

    if (!f->meta.range_deletes)
        return 0;
    rc = tfile_pin(f, TABLE_ITER_COMPACT, &t);
    if (rc)
        return rc;
    list = table_range_deletes(t, &n);
    rc = add_copies(l, list, n);
    tfile_unpin(f);
    return rc;
}

/* ---- lookup ---- */

int tfile_ask_range(struct tfile *f, struct slice key, uint64_t seq,
                    struct rangedel_span *span)
{
    const struct range_tombstone *list;
    struct table *t;
    size_t n;
    int rc;

    if (!f->meta.range_deletes)
        return 0;
    rc = tfile_borrow(f, &t);
    if (rc)
        return rc;
    list = table_range_deletes(t, &n);
    rangedel_ask(list, n, key, seq, span);
    return 0;
}

static int lookup_table(struct tfile *f, struct table *t, struct lookup *l)
{
    struct rangedel_span span;
    bool filter;
    int rc;

    if (f->meta.range_deletes) {
        rangedel_span_init(&span);
        rc = tfile_ask_range(f, l->user, l->seq, &span);
        if (rc)
            return rc;
        if (span.seq > l->deleted_at)
            l->deleted_at = span.seq;
    }
    filter = table_has_filter(t);
    l->filter_checked += filter;
    if (filter && !table_may_contain(t, l->hash)) {
        l->filter_rejected++;
        return -ENOENT;
    }
    l->searched++;
    rc = table_get(t, l->ikey, &l->trailer, &l->value, &l->pin);
    l->filter_false += filter && rc == -ENOENT;
    return rc;
}

static int lookup_in(struct tfile *f, struct lookup *l)
{
    struct table *t;
    int rc;

    if (table_range_cmp(&f->meta, l->user) != 0 || f->meta.seq_min > l->seq)
        return -ENOENT;
    rc = l->pins ? tfile_pin(f, TABLE_ITER_READ, &t) : tfile_borrow(f, &t);
    if (rc)
        return rc;
    rc = lookup_table(f, t, l);
    if (l->pins)
        tfile_unpin(f);
    return rc;
}

int version_lookup(struct version *v, struct lookup *l)
{
    unsigned level;
    size_t i;
    int rc;

    for (i = 0; i < v->n[0]; i++) {
        rc = lookup_in(v->file[0][i], l);
        if (rc != -ENOENT || l->deleted_at)
            return rc;
    }
    for (level = 1; level < LSM_LEVELS; level++) {
        if (!v->n[level])
            continue;
        i = version_find(v, level, l->user);
        if (i == v->n[level])
            continue;
        rc = lookup_in(v->file[level][i], l);
        /* A range delete hides whatever lies below it. */
        if (rc != -ENOENT || l->deleted_at)
            return rc;
    }
    return -ENOENT;
}
