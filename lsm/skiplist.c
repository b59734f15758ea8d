/*
 * skiplist.c - see skiplist.h.
 *
 * A node's tower grows downward in memory from the node: level 0 is a field,
 * level i lies i pointers before it, so that the key stands at a fixed place.
 * A link is published with release order after the node is complete; readers
 * follow links with acquire order.
 */
#include "skiplist.h"

#include <errno.h>

struct skip_node {
    _Atomic(struct skip_node *) next0; /* level i: (&next0)[-i] */
    uint32_t key_len;                  /* internal key */
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

static inline _Atomic(struct skip_node *) *link_at(const struct skip_node *n, int level)
{
    return (_Atomic(struct skip_node *) *)&n->next0 - level;
}

static inline struct skip_node *next_at(const struct skip_node *n, int level)
{
    return atomic_load_explicit(link_at(n, level), memory_order_acquire);
}

struct slice skip_node_key(const struct skip_node *n)
{
    return slice_of(n->bytes, n->key_len);
}

struct slice skip_node_value(const struct skip_node *n)
{
    return slice_of(n->bytes + n->key_len, n->value_len);
}

const struct skip_node *skip_node_next(const struct skip_node *n)
{
    return next_at(n, 0);
}

/* memcmp by words: keys are short, and a call costs more than the comparison. */
static inline int compare_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    while (n >= 8) {
        uint64_t x = load_be64(a), y = load_be64(b);

        if (x != y)
            return x < y ? -1 : 1;
        a += 8;
        b += 8;
        n -= 8;
    }
    for (; n; a++, b++, n--)
        if (*a != *b)
            return *a < *b ? -1 : 1;
    return 0;
}

/* Order of node n against (user, trailer): negative when n comes first. */
static inline int compare(const struct skip_node *n, struct slice user, uint64_t trailer)
{
    size_t len = n->key_len - IKEY_TRAILER;
    int c = compare_bytes(n->bytes, user.data, len < user.len ? len : user.len);
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
    size_t tower = sizeof(_Atomic(struct skip_node *)) * (size_t)(height - 1);
    uint8_t *p = arena_alloc(l->arena, kind, tower + sizeof(struct skip_node) + bytes);

    return p ? (struct skip_node *)(p + tower) : NULL;
}

int skiplist_init(struct skiplist *l, struct arena *arena)
{
    int i;

    l->arena = arena;
    l->head = node_alloc(l, 0, SKIPLIST_LEVELS, 0);
    if (!l->head)
        return -ENOMEM;
    for (i = 0; i < SKIPLIST_LEVELS; i++)
        atomic_init(link_at(l->head, i), NULL);
    l->head->key_len = l->head->value_len = 0;
    atomic_init(&l->height, 1);
    l->id = atomic_fetch_add(&next_id, 1);
    return 0;
}

/* Geometric with 1/4. */
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
    while (h < SKIPLIST_LEVELS && (x & 3) == 0) {
        h++;
        x >>= 2;
    }
    return h;
}

/* Narrow [*prev, *next) at one level to the neighbours of (user, trailer). */
static void find_at_level(struct slice user, uint64_t trailer, int level,
                          struct skip_node **prev, struct skip_node **next,
                          const struct skip_node *stop)
{
    struct skip_node *p = *prev, *n;

    for (;;) {
        n = next_at(p, level);
        if (!n || n == stop)
            break;
        __builtin_prefetch(next_at(n, level)); /* the one after is a likely miss, too */
        if (compare(n, user, trailer) >= 0)
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
 * Find the key's neighbours at every level below `from`. Places above may be loose:
 * another insert came between. They are searched again one by one when linking, from
 * prev[i], which is before the key at every level.
 */
static void splice_find(const struct skiplist *l, struct splice *s, int from,
                        struct slice user, uint64_t trailer)
{
    int level = from;

    if (s->list != l->id || from >= s->height) {
        s->list = l->id;
        s->height = level = atomic_load_explicit(&l->height, memory_order_relaxed);
        s->prev[level] = l->head;
        s->next[level] = NULL;
    }
    while (level-- > 0) {
        s->prev[level] = s->prev[level + 1];
        find_at_level(user, trailer, level, &s->prev[level], &s->next[level],
                      s->next[level + 1]);
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

static void link_node(struct splice *s, struct skip_node *n, int height,
                      struct slice user, uint64_t trailer)
{
    int i;

    for (i = 0; i < height; i++) {
        struct skip_node *expected = s->next[i];

        for (;;) {
            if (i > 0 || expected != s->next[i])
                find_at_level(user, trailer, i, &s->prev[i], &s->next[i], NULL);
            expected = s->next[i];
            atomic_store_explicit(link_at(n, i), expected, memory_order_relaxed);
            if (atomic_compare_exchange_strong_explicit(link_at(s->prev[i], i), &expected,
                                                        n, memory_order_release,
                                                        memory_order_relaxed))
                break;
        }
        s->prev[i] = n; /* the next key of an ascending run goes behind it */
    }
}

int skiplist_insert(struct skiplist *l, struct slice user, uint64_t trailer,
                    struct slice value)
{
    unsigned kind = kind_of(user);
    struct splice *s = &hints[kind];
    int height = random_height();
    size_t key_len = user.len + IKEY_TRAILER;
    struct skip_node *n = node_alloc(l, kind, height, key_len + value.len);

    if (!n)
        return -ENOMEM;
    n->key_len = (uint32_t)key_len;
    n->value_len = (uint32_t)value.len;
    if (user.len)
        memcpy(n->bytes, user.data, user.len);
    store_le64(n->bytes + user.len, trailer);
    if (value.len)
        memcpy(n->bytes + key_len, value.data, value.len);
    splice_find(l, s, splice_level(l, s, user, trailer), user, trailer);
    if (height > s->height)
        raise(l, s, height);
    link_node(s, n, height, user, trailer);
    return 0;
}

const struct skip_node *skiplist_seek(const struct skiplist *l, struct slice user,
                                      uint64_t trailer)
{
    int level = atomic_load_explicit(&l->height, memory_order_relaxed);
    struct skip_node *p = l->head, *n = NULL, *stop = NULL;

    while (level-- > 0) {
        find_at_level(user, trailer, level, &p, &n, stop);
        stop = n;
    }
    return n;
}

const struct skip_node *skiplist_before(const struct skiplist *l, struct slice user,
                                        uint64_t trailer)
{
    int level = atomic_load_explicit(&l->height, memory_order_relaxed);
    struct skip_node *p = l->head, *n = NULL, *stop = NULL;

    while (level-- > 0) {
        find_at_level(user, trailer, level, &p, &n, stop);
        stop = n;
    }
    return p == l->head ? NULL : p;
}

const struct skip_node *skiplist_first(const struct skiplist *l)
{
    return next_at(l->head, 0);
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
