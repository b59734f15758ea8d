/*
 * ptr_map.c - see ptr_map.h. Open addressing, at most half full.
 */
#include "ptr_map.h"

#include <errno.h>
#include <stdlib.h>

#include "hash.h"

enum { CAP_FIRST = 16 };

void ptr_map_release(struct ptr_map *m)
{
    free(m->slot);
    memset(m, 0, sizeof(*m));
}

/* Its slot, or the free one where it belongs. */
static struct ptr_note *slot_of(struct ptr_note *slot, size_t cap, uint64_t segment,
                                uint64_t offset)
{
    uint64_t place[2] = {segment, offset};
    size_t i = hash_bytes(place, sizeof(place), 0) & (cap - 1);

    while (slot[i].used && (slot[i].segment != segment || slot[i].offset != offset))
        i = (i + 1) & (cap - 1);
    return &slot[i];
}

struct ptr_note *ptr_map_find(const struct ptr_map *m, uint64_t segment, uint64_t offset)
{
    struct ptr_note *s;

    if (!m->n)
        return NULL;
    s = slot_of(m->slot, m->cap, segment, offset);
    return s->used ? s : NULL;
}

static int grow(struct ptr_map *m)
{
    size_t cap = m->cap ? 2 * m->cap : CAP_FIRST, i;
    struct ptr_note *slot = calloc(cap, sizeof(*slot));

    if (!slot)
        return -ENOMEM;
    for (i = 0; i < m->cap; i++)
        if (m->slot[i].used)
            *slot_of(slot, cap, m->slot[i].segment, m->slot[i].offset) = m->slot[i];
    free(m->slot);
    m->slot = slot;
    m->cap = cap;
    return 0;
}

struct ptr_note *ptr_map_add(struct ptr_map *m, uint64_t segment, uint64_t offset)
{
    struct ptr_note *s;

    if (2 * (m->n + 1) > m->cap && grow(m))
        return NULL;
    s = slot_of(m->slot, m->cap, segment, offset);
    if (!s->used) {
        s->used = true;
        s->segment = segment;
        s->offset = offset;
        m->n++;
    }
    return s;
}
