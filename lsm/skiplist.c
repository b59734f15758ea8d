/*
 * skiplist.c - see skiplist.h.
 *
 * A node's tower grows downward in memory from the node: level 0 is a field,
 * level i lies i links before it, so that the key stands at a fixed place.
 * A link is published with release order after the node is complete; readers
 * follow links with acquire order. In a link's upper bits is what it tells of the key
 * it leads to (skip_mark.h).
 *
 * Newer versions of a key hang on its node, the newest first, in a chain that ends with
 * the node: to add one no place has to be searched. A key has more than one node when an
 * older version comes after its first one, which only happens when threads insert at
 * once: then those follow each other, and what hangs on one of them is newer than it and
 * older than the one before. So what comes newer than a key's first node goes into that
 * one's chain, and the first one to be there stays the first in order. One that is found
 * otherwise than by the list (key_index.h) is the first from when it can be found, and
 * comes before those that are in the list when it does (skip_later.h).
 *
 * A version also leads to one further down the chain, so that one is found in steps that
 * are logarithmic in its depth (Myers, Applicative random-access stacks). `rank` says how
 * far it leads: past 2^rank - 1.
 */
#include "skiplist.h"

#include <errno.h>

#include "skiplist_impl.h"

enum {
    HINTS = ARENA_STREAMS,
    NEAR_LEVELS = 4, /* of a remembered place: what is found there costs no long search */
};
static __thread struct splice hints[HINTS];
static __thread uint64_t rng;
static _Atomic uint64_t next_id = 1;

static inline struct skip_node *next_at(const struct skip_node *n, int level)
{
    return link_node(load_link(n, level));
}

struct slice skip_node_key(const struct skip_node *n)
{
    return slice_of(n->bytes, n->key_len);
}

struct slice skip_node_value(const struct skip_node *n)
{
    return slice_of(n->bytes + n->key_len, n->value_len);
}

/* The first in order of a node and its versions. */
static inline const struct skip_node *newest_of(const struct skip_node *n)
{
    return atomic_load_explicit(&n->newest, memory_order_acquire);
}

const struct skip_node *skip_node_next_last(const struct skip_node *last,
                                            const struct skip_node **newest)
{
    const struct skip_node *next = next_at(last, 0);

    *newest = NULL;
    if (!next)
        return NULL;
    /* Who walks on finds the one after, and its key, fetched. */
    uintptr_t after = (uintptr_t)next_at(next, 0); /* none: 0, no harm */

    __builtin_prefetch((const void *)after);
    __builtin_prefetch((const void *)(after + 64));
    *newest = newest_of(next);
    return next;
}

const struct skip_node *skip_node_next(const struct skip_node *n)
{
    const struct skip_node *newest;

    if (n->version)
        return next_at(n, 0);
    skip_node_next_last(n, &newest);
    return newest;
}

const struct skip_node *skip_node_last(const struct skip_node *n)
{
    while (n->version)
        n = atomic_load_explicit(&n->jump, memory_order_relaxed);
    return n;
}

/* Keys that begin alike are of one kind, as a rule; hints and memory go by that. */
static unsigned kind_of(struct slice user)
{
    return user.len ? user.data[0] % HINTS : 0;
}

struct splice *skip_hint(struct slice user)
{
    return &hints[kind_of(user)];
}

static struct skip_node *node_alloc(struct skiplist *l, unsigned kind, int height,
                                    size_t bytes)
{
    size_t tower = sizeof(skip_link) * (size_t)(height - 1);
    uint8_t *p = arena_alloc(l->arena, kind, tower + sizeof(struct skip_node) + bytes);

    return p ? (struct skip_node *)(p + tower) : NULL;
}

static void node_fill(struct skip_node *n, struct slice user, uint64_t trailer,
                      struct slice value)
{
    atomic_init(&n->newest, n);
    n->key_len = (uint32_t)(user.len + IKEY_TRAILER);
    n->rank = 0;
    n->version = 0;
    n->value_len = (uint32_t)value.len;
    key_bytes_copy(n->bytes, user.data, user.len);
    store_le64(n->bytes + user.len, trailer);
    if (value.len)
        memcpy(n->bytes + n->key_len, value.data, value.len);
}

int skiplist_init(struct skiplist *l, struct arena *arena)
{
    int i;

    l->arena = arena;
    l->head = node_alloc(l, 0, SKIPLIST_LEVELS, IKEY_TRAILER);
    if (!l->head)
        return -ENOMEM;
    for (i = 0; i < SKIPLIST_LEVELS; i++)
        atomic_init(link_at(l->head, i), 0);
    /* The least key, which nobody compares with. */
    node_fill(l->head, slice_of(NULL, 0), 0, slice_of(NULL, 0));
    atomic_init(&l->height, 1);
    l->id = atomic_fetch_add(&next_id, 1);
    return 0;
}

/*
 * Geometric with 1/2. With 1/4 there were a third less links, but half as many nodes
 * again on the way to a key: a step to the right costs a miss, one down, with the marks,
 * nothing.
 */
static int random_height(void)
{
    int h = 1;
    uint64_t x = rng;

    if (!x)
        x = (uint64_t)(uintptr_t)&rng ^ 0x9E3779B97F4A7C15ull;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    rng = x;
    while (h < SKIPLIST_LEVELS && (x & 1) == 0) {
        h++;
        x >>= 1;
    }
    return h;
}

/*
 * Narrow [*prev, *next) at one level to the neighbours of t; stop is known not to be
 * before it. *at: the first bit in which t and *prev differ.
 */
static inline void find_at_level(const struct skip_target *t, int level,
                                 struct skip_node **prev, struct skip_node **next,
                                 const struct skip_node *stop, unsigned *at)
{
    struct skip_node *p = *prev, *n;

    for (;;) {
        uint64_t link = load_link(p, level);

        n = link_node(link);
        if (!n || n == stop || !goes_before(link, t, at))
            break;
        p = n;
    }
    *prev = p;
    *next = n;
}

/* Does the remembered place at one level hold the new key, and is it still one place? If
 * not, *skip is how many levels above it, this one included, need not be asked. */
static bool splice_holds(const struct skiplist *l, const struct splice *s, int level,
                         struct slice user, uint64_t trailer, int *skip)
{
    const struct skip_node *prev = s->prev[level], *next = s->next[level];
    int i = level + 1;

    *skip = 1;
    if (next_at(prev, level) != next)
        return false;
    if (prev != l->head && compare(prev, user, trailer) >= 0) {
        for (; i < s->height && s->prev[i] == prev; i++)
            ++*skip;
        return false;
    }
    if (next && compare(next, user, trailer) <= 0) {
        for (; i < s->height && s->next[i] == next; i++)
            ++*skip;
        return false;
    }
    return true;
}

/*
 * The lowest level whose remembered place holds the new key: below it, it is found by a
 * short way. So a key costs as much search as it is far from the last one (RocksDB's
 * InlineSkipList, RecomputeSpliceLevels): next to nothing for ascending keys, and for
 * new versions of keys just written. The list's height: nothing remembered is of use.
 */
static int splice_level(const struct skiplist *l, const struct splice *s,
                        struct slice user, uint64_t trailer)
{
    int height = atomic_load_explicit(&l->height, memory_order_relaxed), level, skip;

    if (s->list != l->id || s->height != height)
        return height;
    for (level = 0; level < height; level += skip) {
        if (splice_holds(l, s, level, user, trailer, &skip))
            return level;
    }
    return height;
}

/*
 * Find t's neighbours at every level below `from`. Places above may be loose:
 * another insert came between. They are searched again one by one when linking, from
 * prev[i], which is before the key at every level.
 */
static void splice_find(const struct skiplist *l, struct splice *s, int from,
                        const struct skip_target *t)
{
    int level = from;
    unsigned at;

    if (s->list != l->id || from >= s->height) {
        s->list = l->id;
        s->height = level = atomic_load_explicit(&l->height, memory_order_relaxed);
        s->prev[level] = l->head;
        s->next[level] = NULL;
    }
    if (!level)
        return;
    at = skip_diff(node_user(s->prev[level]), t);
    while (level-- > 0) {
        s->prev[level] = s->prev[level + 1];
        find_at_level(t, level, &s->prev[level], &s->next[level], s->next[level + 1],
                      &at);
    }
}

void skip_raise(struct skiplist *l, struct splice *s, int height)
{
    int have = atomic_load_explicit(&l->height, memory_order_relaxed);
    int i;

    while (have < height && !atomic_compare_exchange_weak(&l->height, &have, height))
        ;
    for (i = s->height; i < height; i++) {
        s->prev[i] = l->head;
        s->next[i] = NULL;
    }
    if (s->height < height)
        s->height = height;
}

/* The mark of a link from t to the node that `link` leads to; at: where t differs from
 * the node that link is of. */
static unsigned mark_after(const struct skip_target *t, unsigned at, uint64_t link)
{
    struct skip_target next;
    const struct skip_node *n = link_node(link);

    if (!n)
        return 0;
    /* t differs from n where the node before t does, if it is like that one until then.
     */
    if (at > skip_mark_place(link_mark(link)))
        return link_mark(link);
    skip_target_init(&next, node_user(n), 0);
    return skip_mark(&next, skip_diff(t->user, &next));
}

static inline bool is_of_key(const struct skip_node *n, const struct skip_target *t)
{
    return key_eq(node_user(n), t->user);
}

struct skip_node *skip_link_level(struct splice *s, struct skip_node *n, int level,
                                  const struct skip_target *t, enum skip_place place)
{
    bool look = level > 0; /* what is remembered may be loose */
    unsigned at = skip_diff(node_user(s->prev[level]), t);
    struct skip_node *prev;

    for (;; look = true) {
        uint64_t link;

        if (look)
            find_at_level(t, level, &s->prev[level], &s->next[level], NULL, &at);
        link = load_link(s->prev[level], level);
        if (link_node(link) != s->next[level])
            continue;
        /* Where the marks differ the keys do, and the node need not be looked at. */
        if (!level && place == SKIP_VERSION && link_mark(link) == skip_mark(t, at) &&
            s->next[0] && is_of_key(s->next[0], t))
            return NULL;
        atomic_store_explicit(link_at(n, level),
                              link_to(s->next[level], mark_after(t, at, link)),
                              memory_order_relaxed);
        if (atomic_compare_exchange_strong_explicit(
                link_at(s->prev[level], level), &link, link_to(n, skip_mark(t, at)),
                memory_order_release, memory_order_relaxed))
            break;
    }
    prev = s->prev[level];
    s->prev[level] = n; /* the next key of an ascending run goes behind it */
    return prev;
}

/* ---- versions ---- */

/* Where a version leads that follows on `older`: past it, and past as many as that leads
 * past when the next leads past as many, too. */
static void set_jump(struct skip_node *v, const struct skip_node *older)
{
    const struct skip_node *to = older;

    v->rank = 1;
    if (older->version) {
        const struct skip_node *next = atomic_load(&older->jump);

        if (next->rank == older->rank) {
            to = atomic_load(&next->jump);
            v->rank = older->rank + 1u;
        }
    }
    atomic_store_explicit(&v->jump, to, memory_order_relaxed);
}

/* Of a node and its versions the first that is at or before (key, trailer), or the node.
 * *after: the one before that in order, if there is one. */
static const struct skip_node *version_at(const struct skip_node *node, uint64_t trailer,
                                          const struct skip_node **after)
{
    const struct skip_node *v = newest_of(node), *to;

    *after = NULL;
    while (v->version && node_trailer(v) > trailer) {
        *after = v;
        to = atomic_load_explicit(&v->jump, memory_order_relaxed);
        v = to->version && node_trailer(to) > trailer ? to : next_at(v, 0);
    }
    return v;
}

/* v, which is newer than the node, into its chain. */
static void add_version(struct skip_node *node, struct skip_node *v)
{
    uint64_t trailer = node_trailer(v);
    const struct skip_node *after, *at;

    v->version = 1;
    for (;;) {
        at = version_at(node, trailer, &after);
        set_jump(v, at);
        atomic_store_explicit(&v->next0, link_to(at, 0), memory_order_relaxed);
        if (after) { /* others came before this one, which is the older */
            uint64_t link = link_to(at, 0);

            if (atomic_compare_exchange_strong_explicit(
                    link_at(after, 0), &link, link_to(v, 0), memory_order_release,
                    memory_order_relaxed))
                return;
        } else {
            struct skip_node *was = (struct skip_node *)at;

            if (atomic_compare_exchange_strong_explicit(
                    &node->newest, &was, v, memory_order_release, memory_order_relaxed))
                return;
        }
    }
}

int skiplist_add_version(struct skiplist *l, const struct skip_node *node,
                         uint64_t trailer, struct slice value)
{
    struct slice user = node_user(node);
    struct skip_node *v;

    if (node_trailer(node) >= trailer)
        return -ESTALE;
    v = node_alloc(l, kind_of(user), 1, user.len + IKEY_TRAILER + value.len);
    if (!v)
        return -ENOMEM;
    node_fill(v, user, trailer, value);
    add_version((struct skip_node *)node, v);
    return 0;
}

const struct skip_node *skip_node_version(const struct skip_node *node, uint64_t trailer)
{
    const struct skip_node *after, *v = version_at(node, trailer, &after);

    return v->version || node_trailer(v) <= trailer ? v : NULL;
}

void skip_node_fetch_newest(const struct skip_node *node)
{
    __builtin_prefetch(newest_of(node));
}

/* ---- inserting and looking ---- */

struct skip_node *skiplist_make(struct skiplist *l, struct slice user, uint64_t trailer,
                                struct slice value)
{
    int height = random_height();
    struct skip_node *n =
        node_alloc(l, kind_of(user), height, user.len + IKEY_TRAILER + value.len);

    if (!n)
        return NULL;
    node_fill(n, user, trailer, value);
    /* Of no link that leads anywhere: until it is in the list it tells its height. */
    atomic_init(&n->next0, link_to(NULL, (unsigned)height));
    return n;
}

/* Of a place that s holds from level `from` on. */
static bool link_from(struct skiplist *l, struct splice *s, int from, struct skip_node *n,
                      const struct skip_target *t, enum skip_place place)
{
    int height = skip_made_height(n), i;
    struct skip_node *prev;
    bool is_first;

    splice_find(l, s, from, t);
    if (height > s->height)
        skip_raise(l, s, height);
    prev = skip_link_level(s, n, 0, t, place);
    if (!prev) {
        add_version(s->next[0], n);
        return false;
    }
    is_first = prev == l->head || !is_of_key(prev, t);
    for (i = 1; i < height; i++)
        skip_link_level(s, n, i, t, place);
    return is_first;
}

bool skiplist_link(struct skiplist *l, struct skip_node *n)
{
    struct slice user = node_user(n);
    struct splice *s = skip_hint(user);
    uint64_t trailer = node_trailer(n);
    struct skip_target t;

    skip_target_init(&t, user, trailer);
    return link_from(l, s, splice_level(l, s, user, trailer), n, &t, SKIP_VERSION);
}

int skiplist_insert(struct skiplist *l, struct slice user, uint64_t trailer,
                    struct slice value)
{
    struct skip_node *n = skiplist_make(l, user, trailer, value);

    if (!n)
        return -ENOMEM;
    skiplist_link(l, n);
    return 0;
}

bool skiplist_link_near(struct skiplist *l, struct skip_node *n)
{
    struct slice user = node_user(n);
    struct splice *s = skip_hint(user);
    uint64_t trailer = node_trailer(n);
    struct skip_target t;
    int level, skip;

    if (s->list != l->id ||
        s->height != atomic_load_explicit(&l->height, memory_order_relaxed))
        return false;
    for (level = 0; level < NEAR_LEVELS && level < s->height; level += skip) {
        if (!splice_holds(l, s, level, user, trailer, &skip))
            continue;
        skip_target_init(&t, user, trailer);
        link_from(l, s, level, n, &t, SKIP_NODE);
        return true;
    }
    return false;
}

/* The neighbours of (user, trailer) at level 0: *prev before it, *next not. */
static void find(const struct skiplist *l, struct slice user, uint64_t trailer,
                 struct skip_node **prev, struct skip_node **next)
{
    int level = atomic_load_explicit(&l->height, memory_order_relaxed);
    struct skip_node *stop = NULL;
    struct skip_target t;
    unsigned at;

    skip_target_init(&t, user, trailer);
    *prev = l->head;
    at = skip_diff(node_user(l->head), &t);
    for (; level-- > 0; stop = *next)
        find_at_level(&t, level, prev, next, stop, &at);
}

const struct skip_node *skiplist_seek(const struct skiplist *l, struct slice user,
                                      uint64_t trailer)
{
    const struct skip_node *after;
    struct skip_node *prev, *next;

    find(l, user, trailer, &prev, &next);
    if (!next)
        return NULL;
    /* Of another key all versions are at or after this one. */
    if (!key_eq(node_user(next), user))
        return newest_of(next);
    return version_at(next, trailer, &after);
}

const struct skip_node *skiplist_before(const struct skiplist *l, struct slice user,
                                        uint64_t trailer)
{
    const struct skip_node *after = NULL;
    struct skip_node *prev, *next;

    find(l, user, trailer, &prev, &next);
    if (next && key_eq(node_user(next), user))
        version_at(next, trailer, &after);
    if (after)
        return after;
    return prev == l->head ? NULL : prev;
}

const struct skip_node *skiplist_first(const struct skiplist *l)
{
    const struct skip_node *n = next_at(l->head, 0);

    return n ? newest_of(n) : NULL;
}

const struct skip_node *skiplist_last(const struct skiplist *l)
{
    int level = atomic_load_explicit(&l->height, memory_order_relaxed);
    struct skip_node *p = l->head, *n;

    while (level-- > 0)
        while ((n = next_at(p, level)))
            p = n;
    return p == l->head ? NULL : p;
}
