/*
 * known.h - what fs_check knows of each inode, in a hash table by number.
 */
#ifndef FS_KNOWN_H
#define FS_KNOWN_H

#include "../lsm/lsm.h"

struct known {
    uint64_t ino; /* 0: free slot */
    bool has_key; /* under I */
    bool embedded;
    bool orphan;   /* under O */
    bool reached;  /* from the root */
    uint32_t mode; /* from here on from its record, if has_key or embedded */
    uint32_t nlink;
    uint32_t flags;
    uint16_t run_bytes, run_count;
    uint64_t size, bytes, extents; /* of a directory: parent, entries, subdirs */
    uint64_t unwritten;
    uint64_t names;  /* from here on what was found */
    uint64_t parent; /* directory of its last name */
    uint64_t entries, subdirs;
    uint64_t found_bytes, found_extents, last_end;
    uint64_t found_unwritten, last_unwritten;
    uint16_t found_run;   /* extents that begin in the run, without a gap */
    uint16_t found_flags; /* REC_XATTRS that its attributes ask for */
    uint64_t run_at;      /* end of the last of those */
};

/* A zeroed one is empty. */
struct known_table {
    struct known *slot;
    uint64_t slots; /* a power of two, or 0 */
    uint64_t used;
};

void known_release(struct known_table *t);
/* NULL when nothing was added under that number. */
struct known *known_find(struct known_table *t, uint64_t ino);
/* The one there is, or a new one. Moves what was returned before. NULL: no memory. */
struct known *known_add(struct known_table *t, uint64_t ino);

/* Was its record seen? Else it is only referred to. */
static inline bool has_record(const struct known *k)
{
    return k && (k->has_key || k->embedded);
}

#endif
