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
 * one's chain, and the first one to be there stays the first in order.
 *
 * A version also leads to one further down the chain, so that one is found in steps that
 * are logarithmic in its depth (Myers, Applicative random-access stacks). `rank` says how
 * far it leads: past 2^rank - 1.
 */
#include "skiplist.h"

#include <errno.h>

#include "skip_mark.h"

typedef _Atomic uint64_t skip_link;

struct skip_node {
    skip_link next0; /* level i: (&next0)[-i]; of a version the one before it */
    union {
        _Atomic(struct skip_node *) newest;     /* of a node: version, or itself */
        _Atomic(const struct skip_node *) jump; /* of a version */
    };
    uint32_t key_len : 24; /* internal key */
    uint32_t rank : 7;     /* of a version; of a node 0 */
    uint32_t version : 1;
    uint32_t value_len;
    uint8_t bytes[]; /* internal key, value */
};

/* The neighbours found by the last insert: level i between prev[i] and next[i]. */
struct splice {
    uint64_t list;
    int height;
    struct skip_node *prev[SKIPLIST_LEVELS + 1];
    struct skip_node *next[SKIPLIST_LEVELS + 1];
};

enum { HINTS = ARENA_STREAMS };
static __thread struct splice hints[HINTS];
static __thread uint64_t rng;
static _Atomic uint64_t next_id = 1;

static inline skip_link *link_at(const struct skip_node *n, int level)
{
    return (skip_link *)&n->next0 - level;
}

static inline uint64_t load_link(const struct skip_node *n, int level)
{
    return atomic_load_explicit(link_at(n, level), memory_order_acquire);
}

static inline struct skip_node *link_node(uint64_t link)
{
    return (struct skip_node *)(uintptr_t)(link & ((1ull << SKIP_MARK_SHIFT) - 1));
}

static inline unsigned link_mark(uint64_t link)
{
    return (unsigned)(link >> SKIP_MARK_SHIFT);
}

static inline uint64_t link_to(const struct skip_node *n, unsigned mark)
{
    return (uint64_t)(uintptr_t)n | (uint64_t)mark << SKIP_MARK_SHIFT;
}

static inline struct skip_node *next_at(const struct skip_node *n, int level)
{
    return link_node(load_link(n, level));
}

static inline struct slice node_user(const struct skip_node *n)
{
    return slice_of(n->bytes, n->key_len - IKEY_TRAILER);
}

struct slice skip_node_key(const struct skip_node *n)
{
    return slice_of(n->bytes, n->key_len);
}

struct slice skip_node_value(const struct skip_node *n)
{
    return slice_of(n->bytes + n->key_len, n->value_len);
}

static inline uint64_t node_trailer(const struct skip_node *n)
{
    return load_le64(n->bytes + n->key_len - IKEY_TRAILER);
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

/* Order of node n against (user, trailer): negative when n comes first. */
static inline int compare(const struct skip_node *n, struct slice user, uint64_t trailer)
{
    size_t len = n->key_len - IKEY_TRAILER;
    int c = key_bytes_cmp(n->bytes, user.data, len < user.len ? len : user.len);
    uint64_t t;

    if (c)
        return c;
    if (len != user.len)
        return len < user.len ? -1 : 1;
    t = load_le64(n->bytes + len);
    return (t < trailer) - (t > trailer);
}

/* Keys that begin alike are of one kind, as a rule; hints and memory go by that. */
static unsigned kind_of(struct slice user)
{
    return user.len ? user.data[0] % HINTS : 0;
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

/* Is the node at the end of link before t? *at is the first bit in which t differs from
 * the node that link is of; then, if so, from the one that it leads to. */
static inline bool goes_before(uint64_t link, const struct skip_target *t, unsigned *at)
{
    unsigned mark = link_mark(link), mine;
    const struct skip_node *n = link_node(link);

    if (*at != skip_mark_place(mark))
        return *at < skip_mark_place(mark);
    mine = skip_mark(t, *at);
    if (mine < mark || (mine == mark && compare(n, t->user, t->trailer) >= 0))
        return false;
    *at = skip_diff(node_user(n), t);
    return true;
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

/* Make the list at least `height` high; the splice covers the new levels. */
static void raise(struct skiplist *l, struct splice *s, int height)
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

/*
 * Put n, whose key is t's, between its neighbours at one level; the node before it. NULL:
 * at the lowest level, where the one behind it is of the same key, and older: n is to be
 * a version of that one.
 */
static struct skip_node *link_level(struct splice *s, struct skip_node *n, int level,
                                    const struct skip_target *t)
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
        if (!level && link_mark(link) == skip_mark(t, at) && s->next[0] &&
            is_of_key(s->next[0], t))
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
    const struct skip_node *v, *after;

    for (;;) {
        v = version_at(node, trailer, &after);
        if (v->version || node_trailer(v) <= trailer)
            return v;
        v = next_at(node, 0);
        if (!v || !key_eq(node_user(v), node_user(node)))
            return NULL;
        node = v;
    }
}

/* ---- inserting and looking ---- */

int skiplist_insert(struct skiplist *l, struct slice user, uint64_t trailer,
                    struct slice value, const struct skip_node **first)
{
    unsigned kind = kind_of(user);
    struct splice *s = &hints[kind];
    int height = random_height(), i;
    struct skip_node *n =
        node_alloc(l, kind, height, user.len + IKEY_TRAILER + value.len);
    struct skip_node *prev;
    struct skip_target t;

    if (first)
        *first = NULL;
    if (!n)
        return -ENOMEM;
    node_fill(n, user, trailer, value);
    skip_target_init(&t, node_user(n), trailer);
    splice_find(l, s, splice_level(l, s, user, trailer), &t);
    if (height > s->height)
        raise(l, s, height);
    prev = link_level(s, n, 0, &t);
    if (!prev) {
        add_version(s->next[0], n);
        return 0;
    }
    if (first && (prev == l->head || !is_of_key(prev, &t)))
        *first = n;
    for (i = 1; i < height; i++)
        link_level(s, n, i, &t);
    return 0;
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

const struct skip_node *skiplist_first_of(const struct skiplist *l, struct slice user)
{
    struct skip_node *prev, *next;

    find(l, user, UINT64_MAX, &prev, &next);
    return next && key_eq(node_user(next), user) ? next : NULL;
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
