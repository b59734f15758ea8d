/*
 * skiplist_impl.h - the inside of the skiplist: nodes and links, and how a place is
 * found. Only skip*.c include it, and key_index.c, which looks at a node's key for each
 * lookup. What a node and its versions are: skiplist.c.
 */
#ifndef LSM_SKIPLIST_IMPL_H
#define LSM_SKIPLIST_IMPL_H

#include "skip_mark.h"
#include "skiplist.h"

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

/* The neighbours of a key: level i between prev[i] and next[i]. */
struct splice {
    uint64_t list;
    int height;
    struct skip_node *prev[SKIPLIST_LEVELS + 1];
    struct skip_node *next[SKIPLIST_LEVELS + 1];
};

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

static inline struct slice node_user(const struct skip_node *n)
{
    return slice_of(n->bytes, n->key_len - IKEY_TRAILER);
}

static inline uint64_t node_trailer(const struct skip_node *n)
{
    return load_le64(n->bytes + n->key_len - IKEY_TRAILER);
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

/* Does the mark alone tell that the node at the end of link is not before t? */
static inline bool stays_behind(uint64_t link, const struct skip_target *t, unsigned at)
{
    unsigned mark = link_mark(link);

    return at != skip_mark_place(mark) ? at > skip_mark_place(mark)
                                       : skip_mark(t, at) < mark;
}

/* Where this thread put the last one of those that begin as user does. */
struct splice *skip_hint(struct slice user);

/* Keys' nodes have several levels, from 1 on. Make the list at least so high; *s, which
 * may be lower, covers the new levels, too. */
void skip_raise(struct skiplist *l, struct splice *s, int height);

/* What a node becomes where the one behind it is of the same key, and older. */
enum skip_place {
    SKIP_VERSION, /* a version of that one; link_level does nothing then */
    SKIP_NODE,    /* a node before it: the key's first one, wherever it is looked for */
};

/* Put n, whose key is t's, between its neighbours at one level; the node before it, or
 * NULL: it is to be a version of s->next[0]. What s has for levels above 0 may be loose.
 */
struct skip_node *skip_link_level(struct splice *s, struct skip_node *n, int level,
                                  const struct skip_target *t, enum skip_place place);

/* n, which skiplist_make has made, has so many levels; until it is in the list. */
static inline int skip_made_height(const struct skip_node *n)
{
    return (int)link_mark(atomic_load_explicit(&n->next0, memory_order_relaxed));
}

#endif
