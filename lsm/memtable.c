/*
 * memtable.c - see memtable.h. The range deletes are memtable_ranges.c's.
 */
#include "memtable.h"

#include <errno.h>
#include <stdlib.h>

#include "env.h"
#include "hash.h"
#include "key_index.h"
#include "memtable_ranges.h"
#include "skip_later.h"
#include "vlog.h"

enum {
    ARENA_CHUNK = ENV_HUGE / 2, /* in small pages */
    KEY_BYTES = 128, /* a guess at what a key and its values take, to size the index */
};

struct memtable {
    _Atomic unsigned refs;
    struct arena arena;
    struct skiplist list;
    struct key_index index;
    struct skip_later later; /* nodes that are in the index, and not in the list yet */
    _Atomic bool has_stragglers; /* what came after a newer version of its key */
    _Atomic uint64_t entries;
    _Atomic uint64_t keys;
    _Atomic uint64_t deletes;
    _Atomic uint64_t spread; /* new keys whose places were not near the last one's */
    _Atomic uint64_t ref_bytes;
    struct memory *memory;
    _Atomic uint64_t spread_seen, entries_seen; /* when it grew last */
    size_t chunk, spread_chunk;                 /* bytes of one of the arena */
    _Atomic size_t counted;                     /* of memtable_bytes, in memory */
    struct memtable_ranges ranges;

    struct mutex mu; /* to insert a range; protects what follows */
    uint64_t *segments;
    size_t n_segments, cap_segments;
    _Atomic uint64_t last_segment; /* + 1; read without mu: the usual case */

    struct memtable_place place;
};

/* Of the arena. Its last one is half empty, on the average. */
static size_t chunk_bytes(size_t budget_bytes)
{
    if (budget_bytes / 8 >= ARENA_CHUNK)
        return ARENA_CHUNK;
    return budget_bytes / 8 < 4096 ? 4096 : budget_bytes / 8;
}

/*
 * Of the arena, from what came while it filled the last one. Keys all over the place are
 * searched all over the memory, and in small pages each step is a miss of the processor's
 * page tables, too. Where most is next to what came before it, or a new version of it,
 * that is little, and huge pages have to be cleared whole, which is dear (DESIGN.md).
 */
static void choose_chunks(struct memtable *m)
{
    uint64_t spread = atomic_load_explicit(&m->spread, memory_order_relaxed);
    uint64_t entries = memtable_entries(m);
    uint64_t spread_before = atomic_exchange(&m->spread_seen, spread);
    uint64_t before = atomic_exchange(&m->entries_seen, entries);
    bool most = 2 * (spread - spread_before) > entries - before;

    arena_set_chunk(&m->arena, most ? m->spread_chunk : m->chunk);
}

/* What came since the last time: mostly nothing, for an arena grows by chunks. */
static void count_growth(struct memtable *m)
{
    size_t before = atomic_load_explicit(&m->counted, memory_order_relaxed);
    size_t now = memtable_bytes(m);

    while (m->memory && now > before) {
        if (!atomic_compare_exchange_weak(&m->counted, &before, now))
            continue;
        memory_take(m->memory, MEMORY_MEMTABLES, now - before);
        choose_chunks(m);
        return;
    }
}

struct memtable *memtable_new(size_t budget_bytes, struct memory *memory)
{
    struct spare *spare = memory ? &memory->spare : NULL;
    struct memtable *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->memory = memory;
    if (key_index_init(&m->index, budget_bytes / KEY_BYTES, spare)) {
        free(m);
        return NULL;
    }
    atomic_init(&m->refs, 1);
    m->chunk = chunk_bytes(budget_bytes);
    m->spread_chunk = budget_bytes / 16 >= ENV_HUGE ? ENV_HUGE : m->chunk;
    arena_init(&m->arena, m->chunk, spare);
    mutex_init(&m->mu, LOCK_MEMTABLE);
    skip_later_init(&m->later, &m->list);
    if (skiplist_init(&m->list, &m->arena) ||
        memtable_ranges_init(&m->ranges, &m->arena)) {
        memtable_unref(m);
        return NULL;
    }
    count_growth(m);
    return m;
}

void memtable_ref(struct memtable *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

void memtable_unref(struct memtable *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    memtable_ranges_release(&m->ranges);
    key_index_release(&m->index);
    free(m->segments);
    arena_release(&m->arena);
    skip_later_release(&m->later);
    mutex_release(&m->mu);
    memory_give(m->memory, MEMORY_MEMTABLES, atomic_load(&m->counted));
    free(m);
}

/* Remember that m refers to the segment of the encoded pointer. */
static int note_segment(struct memtable *m, struct slice pointer)
{
    struct vptr p;
    size_t i;
    int rc = 0;

    if (!vptr_decode(&pointer, &p))
        return -EINVAL;
    atomic_fetch_add_explicit(&m->ref_bytes, vptr_stored(&p), memory_order_relaxed);
    if (atomic_load_explicit(&m->last_segment, memory_order_acquire) == p.segment + 1)
        return 0;
    mutex_lock(&m->mu);
    for (i = 0; i < m->n_segments; i++)
        if (m->segments[i] == p.segment)
            goto out;
    if (m->n_segments == m->cap_segments) {
        size_t cap = m->cap_segments ? 2 * m->cap_segments : 8;
        void *q = realloc(m->segments, cap * sizeof(*m->segments));

        if (!q) {
            rc = -ENOMEM;
            goto out;
        }
        m->segments = q;
        m->cap_segments = cap;
    }
    m->segments[m->n_segments++] = p.segment;
out:
    if (!rc)
        atomic_store_explicit(&m->last_segment, p.segment + 1, memory_order_release);
    mutex_unlock(&m->mu);
    return rc;
}

void memtable_segments(struct memtable *m,
                       void (*fn)(void *arg, uint64_t segment, uint64_t bytes), void *arg)
{
    size_t i;

    mutex_lock(&m->mu);
    for (i = 0; i < m->n_segments; i++)
        fn(arg, m->segments[i], 0);
    mutex_unlock(&m->mu);
}

static int insert_range(struct memtable *m, struct slice start, uint64_t seq,
                        struct slice end)
{
    int rc;

    mutex_lock(&m->mu);
    rc = memtable_ranges_insert(&m->ranges, start, seq, end);
    mutex_unlock(&m->mu);
    atomic_fetch_add_explicit(&m->deletes, 1, memory_order_relaxed);
    count_growth(m);
    return rc;
}

/* An older version than the one that the index leads to. */
static int insert_straggler(struct memtable *m, const struct memtable_entry *e)
{
    atomic_store_explicit(&m->has_stragglers, true, memory_order_relaxed);
    return skiplist_insert(&m->list, e->key, ikey_pack(e->seq, e->type), e->value);
}

static int add_version(struct memtable *m, const struct skip_node *known,
                       const struct memtable_entry *e)
{
    int rc = skiplist_add_version(&m->list, known, ikey_pack(e->seq, e->type), e->value);

    return rc == -ESTALE ? insert_straggler(m, e) : rc;
}

/*
 * A version of a key that is known to be there has its place without a search. The node
 * of a new one can be found by the index at once, and is put into the list at leisure.
 */
static int insert_point(struct memtable *m, const struct memtable_entry *e)
{
    const struct skip_node *known = key_index_find(&m->index, e->hash, e->key);
    struct skip_node *n;

    if (known)
        return add_version(m, known, e);
    n = skiplist_make(&m->list, e->key, ikey_pack(e->seq, e->type), e->value);
    if (!n)
        return -ENOMEM;
    known = key_index_add(&m->index, e->hash, n);
    if (known && known != n) /* another thread's, made meanwhile */
        return add_version(m, known, e);
    if (known && !skiplist_link_near(&m->list, n)) {
        atomic_fetch_add_explicit(&m->spread, 1, memory_order_relaxed);
        skip_later_put(&m->later, n);
    }
    if (known || skiplist_link(&m->list, n))
        atomic_fetch_add_explicit(&m->keys, 1, memory_order_relaxed);
    return 0;
}

static int insert(struct memtable *m, const struct memtable_entry *e)
{
    int rc = 0;

    if (e->type == IKEY_RANGE_DELETE)
        return insert_range(m, e->key, e->seq, e->value);
    if (e->type == IKEY_PUT_REF)
        rc = note_segment(m, e->value);
    if (!rc)
        rc = insert_point(m, e);
    if (rc)
        return rc;
    atomic_fetch_add_explicit(&m->entries, 1, memory_order_relaxed);
    if (e->type == IKEY_DELETE)
        atomic_fetch_add_explicit(&m->deletes, 1, memory_order_relaxed);
    count_growth(m);
    return 0;
}

int memtable_insert(struct memtable *m, enum ikey_type type, struct slice key,
                    uint64_t seq, struct slice value)
{
    struct memtable_entry e = {type, key, value, seq, hash_key(key)};

    return insert(m, &e);
}

void memtable_fetch(const struct memtable *m, uint64_t hash)
{
    key_index_fetch(&m->index, hash);
}

/* A new version is written beside the newest one, which lies elsewhere than the node. */
int memtable_insert_all(struct memtable *m, const struct memtable_entry *e, size_t n)
{
    const struct skip_node *node[MEMTABLE_AT_ONCE];
    size_t i;
    int rc = 0;

    for (i = 0; i < n && n > 1; i++)
        node[i] = key_index_fetch_node(&m->index, e[i].hash);
    for (i = 0; i < n && n > 1; i++)
        if (node[i])
            skip_node_fetch_newest(node[i]);
    for (i = 0; i < n && !rc; i++)
        rc = insert(m, &e[i]);
    return rc;
}

static const struct skip_node *find(const struct memtable *m, struct slice key,
                                    uint64_t hash, uint64_t trailer)
{
    const struct skip_node *n;

    if (!memtable_entries(m)) /* what the reader may see was counted before */
        return NULL;
    n = key_index_find(&m->index, hash, key);
    if (n) {
        const struct skip_node *v = skip_node_version(n, trailer);

        /* Whoever's straggler the reader may see has said so before. */
        if (v || !atomic_load_explicit(&m->has_stragglers, memory_order_relaxed))
            return v;
    } else if (!key_index_is_full(&m->index)) {
        return NULL;
    }
    n = skiplist_seek(&m->list, key, trailer);
    return n && key_eq(ikey_user(skip_node_key(n)), key) ? n : NULL;
}

int memtable_get(struct memtable *m, struct slice key, uint64_t hash, uint64_t seq,
                 uint64_t *trailer, struct slice *value)
{
    const struct skip_node *n = find(m, key, hash, seq << 8 | 0xff);

    if (!n)
        return -ENOENT;
    *trailer = ikey_trailer(skip_node_key(n));
    *value = skip_node_value(n);
    return 0;
}

bool memtable_has_range_deletes(const struct memtable *m)
{
    return atomic_load_explicit(&m->ranges.n, memory_order_acquire) != 0;
}

void memtable_ask_range(struct memtable *m, struct slice key, uint64_t seq,
                        struct rangedel_span *span)
{
    if (memtable_has_range_deletes(m))
        memtable_ranges_ask(&m->ranges, key, seq, span);
}

int memtable_range_deletes(struct memtable *m, struct range_tombstone **list, size_t *n)
{
    int rc;

    mutex_lock(&m->mu);
    rc = memtable_ranges_list(&m->ranges, list, n);
    mutex_unlock(&m->mu);
    return rc;
}

size_t memtable_bytes(struct memtable *m)
{
    return arena_bytes(&m->arena) + key_index_bytes(&m->index) +
           atomic_load_explicit(&m->ranges.bytes, memory_order_relaxed);
}

uint64_t memtable_entries(const struct memtable *m)
{
    return atomic_load_explicit(&m->entries, memory_order_relaxed);
}

uint64_t memtable_keys(const struct memtable *m)
{
    return atomic_load_explicit(&m->keys, memory_order_relaxed);
}

uint64_t memtable_deletes(struct memtable *m)
{
    return atomic_load_explicit(&m->deletes, memory_order_relaxed);
}

void memtable_less_refs(struct memtable *m, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&m->ref_bytes, bytes, memory_order_relaxed);
}

uint64_t memtable_ref_bytes(struct memtable *m)
{
    return atomic_load_explicit(&m->ref_bytes, memory_order_relaxed);
}

bool memtable_crowded(struct memtable *m)
{
    return atomic_load_explicit(&m->ranges.n, memory_order_relaxed) > MEMTABLE_RANGES_MAX;
}

struct memtable_place *memtable_place(struct memtable *m)
{
    return &m->place;
}

/* ---- iterator ---- */

struct memtable_iter {
    struct iter it;
    struct memtable *m;
    const struct skip_node *node;
    const struct skip_node *last; /* skip_node_last of it; NULL: not known */
};

static void stand_on(struct memtable_iter *mi, const struct skip_node *n)
{
    mi->node = n;
    mi->last = NULL;
    mi->it.valid = n != NULL;
    if (n) {
        mi->it.key = skip_node_key(n);
        mi->it.value = skip_node_value(n);
    }
}

/* All that the iterator's reader may see has been inserted when it asks for a place. */
static struct skiplist *list_of(const struct memtable_iter *mi)
{
    skip_later_all(&mi->m->later);
    return &mi->m->list;
}

static void mi_first(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;

    stand_on(mi, skiplist_first(list_of(mi)));
}

static void mi_last(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;

    stand_on(mi, skiplist_last(list_of(mi)));
}

static void mi_seek(struct iter *it, struct slice ikey)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;

    stand_on(mi, skiplist_seek(list_of(mi), ikey_user(ikey), ikey_trailer(ikey)));
}

static void mi_seek_prev(struct iter *it, struct slice ikey)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;

    stand_on(mi, skiplist_seek(list_of(mi), ikey_user(ikey), ikey_trailer(ikey)));
    if (mi->node && ikey_cmp(it->key, ikey) == 0)
        return;
    stand_on(mi, skiplist_before(list_of(mi), ikey_user(ikey), ikey_trailer(ikey)));
}

static void mi_next(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;

    stand_on(mi, skip_node_next(mi->node));
}

void memtable_iter_next_key(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;
    const struct skip_node *last = mi->last ? mi->last : skip_node_last(mi->node), *n;

    last = skip_node_next_last(last, &n);
    stand_on(mi, n);
    mi->last = last;
}

static void mi_prev(struct iter *it)
{
    struct memtable_iter *mi = (struct memtable_iter *)it;

    stand_on(mi, skiplist_before(list_of(mi), ikey_user(it->key), ikey_trailer(it->key)));
}

static void mi_free(struct iter *it)
{
    free(it);
}

struct iter *memtable_iter_new(struct memtable *m)
{
    static const struct iter_ops ops = {mi_first, mi_last, mi_seek, mi_seek_prev,
                                        mi_next,  mi_prev, mi_free};
    struct memtable_iter *mi = calloc(1, sizeof(*mi));

    if (!mi)
        return NULL;
    mi->it.ops = &ops;
    mi->m = m;
    return &mi->it;
}
