/*
 * block_search.h - finding a key in a block: the restart point to walk from, and whether
 * an entry is at the key. Private to block.c and block_iter.c.
 *
 * Searching avoids building keys. While the walk is below the target, it knows
 * how many bytes the last user key and the target have in common: an entry that
 * shares more than those with its predecessor is below the target as well, and
 * needs no look at its key.
 */
#ifndef LSM_BLOCK_SEARCH_H
#define LSM_BLOCK_SEARCH_H

#include "block_entry.h"

/* Where the prepared offsets are. */
static inline const uint32_t *block_offsets(const struct block *b)
{
    return (const uint32_t *)(b->prefix + b->n_restarts);
}

static inline uint32_t block_restart_at(const struct block *b, uint32_t i)
{
    if (b->prefix)
        return block_offsets(b)[i];
    return load_le32(b->data.data + b->entries_len + 4 * (size_t)i);
}

/* The user key at a restart point. False: damaged. */
bool block_restart_user(const struct block *b, uint32_t i, struct slice *user);

/*
 * The last restart point whose user key is not above user, or else the first: *restart.
 * All versions of user are at it or after it, since no user key's versions lie on both
 * sides of a point. The block has a point. False: damaged.
 */
bool block_find_restart(const struct block *b, struct slice user, uint32_t *restart);

/* Bytes that a and b have in common from the start, at most n. */
static inline size_t block_common_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        uint64_t differ = load_le64(a + i) ^ load_le64(b + i);

        if (differ)
            return i + (unsigned)__builtin_ctzll(differ) / 8;
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* Where a walk stands relative to its target. */
struct block_probe {
    struct slice user;
    uint64_t trailer;
    size_t matched; /* bytes that user and the entry's user key have in common */
};

static inline struct block_probe block_probe_for(struct slice ikey)
{
    return (struct block_probe){ikey_user(ikey), ikey_trailer(ikey), 0};
}

enum block_place { BLOCK_BELOW, BLOCK_SAME_USER, BLOCK_ABOVE };

/* e follows an entry below the target. BLOCK_SAME_USER: at the target or older. */
static inline enum block_place block_place_entry(const struct block_entry *e,
                                                 struct block_probe *p)
{
    size_t mine = e->unshared - IKEY_TRAILER;
    size_t theirs, n, same;

    if (e->shared > p->matched)
        return BLOCK_BELOW;
    theirs = p->user.len - e->shared;
    n = mine < theirs ? mine : theirs;
    same = block_common_bytes(e->key, p->user.data + e->shared, n);
    if (same < n ? e->key[same] > p->user.data[e->shared + same] : mine > theirs)
        return BLOCK_ABOVE;
    p->matched = e->shared + same;
    if (same < n || mine < theirs)
        return BLOCK_BELOW;
    return load_le64(e->key + mine) > p->trailer ? BLOCK_BELOW : BLOCK_SAME_USER;
}

#endif
