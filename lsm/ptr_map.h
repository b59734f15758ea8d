/*
 * ptr_map.h - records of the value log, by their place, with something noted of each.
 * For those who meet a record several times because pointers share it.
 */
#ifndef LSM_PTR_MAP_H
#define LSM_PTR_MAP_H

#include "vlog.h"

struct ptr_note {
    uint64_t segment, offset; /* the record */
    uint64_t bytes;           /* what they are is the owner's business */
    struct vptr to;           /* likewise */
    bool used;                /* ours: there is something here */
};

/* Zeroed is empty. */
struct ptr_map {
    struct ptr_note *slot;
    size_t n, cap; /* cap is a power of two */
};

void ptr_map_release(struct ptr_map *m);
static inline size_t ptr_map_bytes(const struct ptr_map *m)
{
    return m->cap * sizeof(*m->slot);
}
/* NULL when it is not there. Valid until the next ptr_map_add. */
struct ptr_note *ptr_map_find(const struct ptr_map *m, uint64_t segment, uint64_t offset);
/* The one that is there, or a new one, zeroed but for the place. NULL: no memory. */
struct ptr_note *ptr_map_add(struct ptr_map *m, uint64_t segment, uint64_t offset);

#endif
