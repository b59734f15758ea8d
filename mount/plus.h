/*
 * plus.h - which entries of a listing come with attributes: policy, no I/O.
 *
 * With them an entry takes a request less when it is looked at (find, du, ls -l, grep,
 * tar, rm -r), and makes the kernel keep an inode of 1 KiB that a plain `ls` has no use
 * for. Whether they were used is not to be seen, only that they were missed: then names
 * of the directory are looked up. So the first entries come with them, as many as fts(3),
 * which most of those programs walk by, reads before it looks at any; and then
 * again as many whenever names were looked up since the last without.
 *
 * The kernel's own judgement (READDIRPLUS_AUTO) asks for the first 32 KiB of replies,
 * 170 entries, and for more only if somebody looked at those already, which fts does not.
 */
#ifndef MOUNT_PLUS_H
#define MOUNT_PLUS_H

#include <stdbool.h>
#include <stdint.h>

enum { PLUS_AHEAD = 10000 };

/* Of one open directory; begins zeroed. */
struct plus {
    uint32_t given;   /* entries with attributes, since the last reason to give them */
    uint32_t lookups; /* in the directory, when the last reply began */
};

/*
 * A request begins: are its entries to have attributes? `lookups` counts, and wraps;
 * first: it begins at the first entry.
 */
static inline bool plus_begin(struct plus *p, uint32_t lookups, bool first)
{
    if (first || (p->given >= PLUS_AHEAD && p->lookups != lookups))
        p->given = 0;
    p->lookups = lookups;
    return p->given < PLUS_AHEAD;
}

/* An entry with attributes was given. */
static inline void plus_give(struct plus *p)
{
    p->given++;
}

#endif
