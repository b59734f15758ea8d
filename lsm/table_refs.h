/*
 * table_refs.h - counting what a table refers to in the value log, for its builder.
 */
#ifndef LSM_TABLE_REFS_H
#define LSM_TABLE_REFS_H

#include "ptr_map.h"
#include "table_builder.h"

/* Zeroed is a new one. */
struct ref_counter {
    struct ptr_map shared; /* records that several refer to */
    size_t cap;            /* of the meta's refs */
};

/*
 * The table has a value at p: m->refs grow by its bytes. Parts that are shared may
 * overlap, or be the same many times over: they count up to the record's bytes.
 * -ENOMEM.
 */
int ref_counter_add(struct ref_counter *c, struct table_meta *m, const struct vptr *p);
void ref_counter_release(struct ref_counter *c);

static inline size_t ref_counter_bytes(const struct ref_counter *c)
{
    return ptr_map_bytes(&c->shared);
}

#endif
