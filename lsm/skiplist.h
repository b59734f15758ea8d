/*
 * skiplist.h - ordered set of internal keys with their values, lock-free.
 *
 * Inserts and reads run concurrently without locks; nothing is ever removed.
 * Nodes lie in an arena, key and value inline (RocksDB's InlineSkipList). An
 * insert remembers where it went, per thread and leading key byte, so that a
 * run of ascending keys costs no search. A newer version of a key whose first node is
 * known costs none either.
 */
#ifndef LSM_SKIPLIST_H
#define LSM_SKIPLIST_H

#include "arena.h"
#include "ikey.h"

enum { SKIPLIST_LEVELS = 24 };

struct skip_node;

struct skiplist {
    struct arena *arena;
    struct skip_node *head;
    _Atomic int height; /* levels in use */
    uint64_t id;        /* of this list in the process: guards remembered places */
};

/* -ENOMEM. Frees nothing later: the arena owns the nodes. */
int skiplist_init(struct skiplist *l, struct arena *arena);

/* Copies both. The internal key must not be there yet. -ENOMEM. */
int skiplist_insert(struct skiplist *l, struct slice user, uint64_t trailer,
                    struct slice value);
/*
 * A newer version of the key of which n is the first node, whether that is in the list
 * yet or not. -ESTALE, and nothing was done, when n is newer itself: insert it as any
 * other. -ENOMEM.
 */
int skiplist_add_version(struct skiplist *l, const struct skip_node *n, uint64_t trailer,
                         struct slice value);
/* Of n, likewise, and the versions that were added to it, the newest at or before
 * trailer; NULL when there is none. */
const struct skip_node *skip_node_version(const struct skip_node *n, uint64_t trailer);
/* A hint that another version is to be added. */
void skip_node_fetch_newest(const struct skip_node *n);

/* A node that is in no list yet: for one of the calls below, or skip_later.h. NULL: no
 * memory. */
struct skip_node *skiplist_make(struct skiplist *l, struct slice user, uint64_t trailer,
                                struct slice value);
/* Put it in. True: it is the first of its user key. */
bool skiplist_link(struct skiplist *l, struct skip_node *n);
/* Put it in if that costs no search, because its place is near where this thread put its
 * last one; else false. The list has no node of its key that is newer. */
bool skiplist_link_near(struct skiplist *l, struct skip_node *n);

/* First node at or after (user, trailer) in ikey order; NULL at the end. */
const struct skip_node *skiplist_seek(const struct skiplist *l, struct slice user,
                                      uint64_t trailer);
/* Last node before (user, trailer); NULL when there is none. */
const struct skip_node *skiplist_before(const struct skiplist *l, struct slice user,
                                        uint64_t trailer);
const struct skip_node *skiplist_first(const struct skiplist *l);
const struct skip_node *skiplist_last(const struct skiplist *l);
const struct skip_node *skip_node_next(const struct skip_node *n);
/* The last in order of those that hang together with n: all of its key, as a rule. */
const struct skip_node *skip_node_last(const struct skip_node *n);
/* The last of those behind `last`, and *newest the first of them; NULL at the end. */
const struct skip_node *skip_node_next_last(const struct skip_node *last,
                                            const struct skip_node **newest);

/* Borrowed from the arena. */
struct slice skip_node_key(const struct skip_node *n); /* internal */
struct slice skip_node_value(const struct skip_node *n);

#endif
