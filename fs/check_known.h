/*
 * check_known.h - what a check knows of each number of the store, in a hash table:
 * 32 bytes for each inode and for each further link, whatever is in them.
 *
 * A number is that of an inode, or the seq of a link, or both: of a file's first
 * name and of a directory the seq is the inode's number. No two entries have one
 * seq, so the directory that the entry `number` lies in is all it takes to find it.
 */
#ifndef FS_CHECK_KNOWN_H
#define FS_CHECK_KNOWN_H

#include "record.h"

enum {
    KNOWN_KEY = 1 << 0,      /* it has a record under I */
    KNOWN_EMBEDDED = 1 << 1, /* its record is in its entry */
    KNOWN_MADE = 1 << 2,     /* its record was lost, and is made anew */
    KNOWN_PLACED = 1 << 3,   /* the entry with this seq was seen, in `parent` */
    KNOWN_ORPHAN = 1 << 4,   /* it is under O */
    KNOWN_WANTS = 1 << 5,    /* its embedded record tells of keys under E, U, X... */
    KNOWN_VISITED = 1 << 6,  /* ... and was compared with them */
    KNOWN_REACHED = 1 << 7,  /* a directory: its way up is known to be good */
    KNOWN_ON_WAY = 1 << 8,   /* a directory on the way that is being followed */

    KNOWN_TYPE_SHIFT = 28, /* above: S_IFMT >> 12 of its record */
};

struct known {
    uint64_t ino;    /* 0: free slot */
    uint64_t parent; /* directory of the entry with this seq; of a directory what its
                        record says until that is seen. 0: not known */
    uint32_t bits;
    uint32_t names;   /* of a file under I; no more than UINT32_MAX is told */
    uint32_t entries; /* of a directory; likewise */
    uint32_t subdirs;
};

/* A zeroed one is empty. */
struct known_table {
    struct known *slot;
    uint64_t slots; /* a power of two, or 0 */
    uint64_t used;
    uint64_t seed; /* so that nobody can choose numbers that collide */
};

void known_release(struct known_table *t);
/* NULL when nothing was added under that number. */
struct known *known_find(const struct known_table *t, uint64_t ino);
/* The one there is, or a new one. Moves what was returned before. NULL: no memory. */
struct known *known_add(struct known_table *t, uint64_t ino);

/* Has it a record, or will it have one? Else it is only referred to. */
static inline bool has_record(const struct known *k)
{
    return k && (k->bits & (KNOWN_KEY | KNOWN_EMBEDDED | KNOWN_MADE));
}

/* The S_IFMT part of its mode. */
static inline uint32_t known_type(const struct known *k)
{
    return k->bits >> KNOWN_TYPE_SHIFT << 12;
}

static inline void known_set_type(struct known *k, uint32_t mode)
{
    k->bits = (k->bits & ~(UINT32_MAX << KNOWN_TYPE_SHIFT)) |
              (mode & S_IFMT) >> 12 << KNOWN_TYPE_SHIFT;
}

static inline bool known_is_dir(const struct known *k)
{
    return has_record(k) && known_type(k) == S_IFDIR;
}

/* Is the entry `seq` the one in this directory? */
static inline bool known_placed(const struct known *k, uint64_t dir)
{
    return k && (k->bits & KNOWN_PLACED) && k->parent == dir;
}

#endif
