/*
 * skip_mark.h - what a link of a skiplist tells of the node that it leads to, so that
 * most nodes are passed without being looked at: each look is a cache miss.
 *
 * Take the user keys of a node p and of one after it, n, as rows of bits, with zeros
 * behind the end. At the first bit in which they differ n has a one. The mark of the
 * link from p to n is where that bit is, and the seven that follow it in n. Whoever
 * looks for a key t behind p knows the first bit in which t differs from p:
 *
 * - before the mark's: t has a one where n still has p's zero: t is behind n;
 * - behind it: t has p's zero where n has a one: t is before n;
 * - at the same place: the bits that follow decide, mostly.
 *
 * So it does not matter how many bytes all keys begin with. Only the first 64 bytes are
 * looked at; where they, or the mark, do not decide, the keys do.
 *
 * A mark is kept in the upper 16 bits of the pointer: addresses have 48 at most, as long
 * as nobody asks the system for higher ones.
 */
#ifndef LSM_SKIP_MARK_H
#define LSM_SKIP_MARK_H

#include "ikey.h"

enum {
    SKIP_WORDS = 8,       /* of a key that count */
    SKIP_SAME = 511,      /* no difference found: the last bit does not count */
    SKIP_MARK_BITS = 7,   /* after the place of the difference */
    SKIP_MARK_SHIFT = 48, /* in a link */
};

/* The key that is looked for. */
struct skip_target {
    struct slice user;
    uint64_t trailer;
    uint64_t word[SKIP_WORDS + 1]; /* its first bytes, big-endian; zeros behind */
};

/* Word k of a key, which has a trailer behind it. */
static inline uint64_t skip_word(struct slice user, unsigned k)
{
    size_t at = 8 * (size_t)k;
    uint64_t w;

    if (at >= user.len)
        return 0;
    w = load_be64(user.data + at);
    return user.len - at >= 8 ? w : w & ~(UINT64_MAX >> 8 * (user.len - at));
}

static inline void skip_target_init(struct skip_target *t, struct slice user,
                                    uint64_t trailer)
{
    size_t n = user.len < 8 * SKIP_WORDS ? user.len : 8 * SKIP_WORDS, i;

    t->user = user;
    t->trailer = trailer;
    memset(t->word, 0, sizeof(t->word));
    for (i = 0; i + 8 <= n; i += 8)
        t->word[i / 8] = load_be64(user.data + i);
    for (; i < n; i++)
        t->word[i / 8] |= (uint64_t)user.data[i] << (56 - 8 * (i % 8));
}

/* The first bit in which the key of a node and t differ. */
static inline unsigned skip_diff(struct slice user, const struct skip_target *t)
{
    size_t n = user.len > t->user.len ? user.len : t->user.len;
    unsigned k, words = n < 8 * SKIP_WORDS ? (unsigned)(n + 7) / 8 : SKIP_WORDS;

    for (k = 0; k < words; k++) {
        uint64_t x = skip_word(user, k) ^ t->word[k];

        if (x) {
            unsigned at = 64 * k + (unsigned)__builtin_clzll(x);

            return at < SKIP_SAME ? at : SKIP_SAME;
        }
    }
    return SKIP_SAME;
}

/* The mark of a link to t from a key that differs from it first in bit `at`. */
static inline unsigned skip_mark(const struct skip_target *t, unsigned at)
{
    unsigned next = at + 1, shift = next % 64;
    uint64_t bits;

    if (at == SKIP_SAME)
        return SKIP_SAME << SKIP_MARK_BITS;
    bits = t->word[next / 64] << shift;
    if (shift)
        bits |= t->word[next / 64 + 1] >> (64 - shift);
    return at << SKIP_MARK_BITS | (unsigned)(bits >> (64 - SKIP_MARK_BITS));
}

static inline unsigned skip_mark_place(unsigned mark)
{
    return mark >> SKIP_MARK_BITS;
}

#endif
