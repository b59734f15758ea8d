/*
 * table_refs.c - see table_refs.h.
 */
#include "table_refs.h"

#include <errno.h>
#include <stdlib.h>

#include "search.h"

/* What p adds to the bytes referred to. */
static int new_bytes(struct ref_counter *c, const struct vptr *p, uint64_t *bytes)
{
    struct ptr_note *note;
    uint64_t left;

    *bytes = vptr_stored(p);
    if (!p->shared)
        return 0;
    note = ptr_map_add(&c->shared, p->segment, p->offset);
    if (!note)
        return -ENOMEM;
    left = note->bytes < p->stored ? p->stored - note->bytes : 0;
    if (*bytes > left)
        *bytes = left;
    note->bytes += *bytes;
    return 0;
}

int ref_counter_add(struct ref_counter *c, struct table_meta *m, const struct vptr *p)
{
    size_t i = search_records(m->refs, m->n_refs, sizeof(*m->refs), p->segment);
    uint64_t bytes;
    int rc = new_bytes(c, p, &bytes);

    if (rc)
        return rc;
    if (i < m->n_refs && m->refs[i].segment == p->segment) {
        m->refs[i].bytes += bytes;
        return 0;
    }
    if (m->n_refs == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 8;
        struct segment_ref *refs = realloc(m->refs, cap * sizeof(*refs));

        if (!refs)
            return -ENOMEM;
        m->refs = refs;
        c->cap = cap;
    }
    memmove(m->refs + i + 1, m->refs + i, (m->n_refs - i) * sizeof(*m->refs));
    m->refs[i] = (struct segment_ref){p->segment, bytes};
    m->n_refs++;
    return 0;
}

void ref_counter_release(struct ref_counter *c)
{
    ptr_map_release(&c->shared);
}
