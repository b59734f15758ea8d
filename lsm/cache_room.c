/*
 * cache_room.c - see cache_room.h.
 *
 * Classes: steps of 256 bytes up to 8 KiB, where nearly all blocks are; eight steps a
 * doubling up to 64 KiB; what is larger has a region to itself.
 */
#include "cache_room.h"

#include <stdlib.h>

#include "env.h"

enum {
    PAGE = 4096,
    STEP = 256,
    FINE_MAX = 8192,
    COARSE_MAX = 65536,
    FINE_CLASSES = FINE_MAX / STEP,
};

/* 0 for what is too large to share a region. */
static unsigned class_of(size_t size, size_t *slot_bytes)
{
    unsigned log, shift;

    if (size <= FINE_MAX) {
        unsigned class = (unsigned)((size + STEP - 1) / STEP);

        class += class == 0;
        *slot_bytes = (size_t) class * STEP;
        return class;
    }
    if (size > COARSE_MAX) {
        *slot_bytes = (size + PAGE - 1) / PAGE * PAGE;
        return 0;
    }
    log = 63 - (unsigned)__builtin_clzll(size - 1); /* size is in (2^log, 2^(log+1)] */
    shift = log - 3;
    *slot_bytes = ((size - 1) >> shift << shift) + ((size_t)1 << shift);
    return FINE_CLASSES + 8 * (log - 13) + (unsigned)((size - 1) >> shift & 7) + 1;
}

static unsigned slots_for(size_t slot_bytes, unsigned class, size_t target)
{
    size_t n = target / slot_bytes;

    if (class == 0 || n < 1)
        return 1;
    return n < REGION_SLOTS ? (unsigned)n : REGION_SLOTS;
}

static size_t region_bytes(size_t slot_bytes, unsigned slots)
{
    return (slots * slot_bytes + PAGE - 1) / PAGE * PAGE;
}

size_t room_growth(size_t size, size_t target)
{
    size_t slot_bytes;
    unsigned class = class_of(size, &slot_bytes);

    return region_bytes(slot_bytes, slots_for(slot_bytes, class, target));
}

/* ---- lists ---- */

static void list(struct room *r, struct region *g)
{
    struct region **head = &r->partial[g->class];

    g->prev = NULL;
    g->next = *head;
    if (*head)
        (*head)->prev = g;
    *head = g;
}

static void unlist(struct room *r, struct region *g)
{
    if (g->prev)
        g->prev->next = g->next;
    else
        r->partial[g->class] = g->next;
    if (g->next)
        g->next->prev = g->prev;
}

/* ---- slots ---- */

static void *take_from(struct room *r, struct region *g, void *owner)
{
    unsigned i = (unsigned)__builtin_ctzll(g->free);

    g->free &= g->free - 1;
    g->owner[i] = owner;
    r->used += g->slot_bytes;
    if (!g->free)
        unlist(r, g);
    return g->memory + i * g->slot_bytes;
}

void *room_take(struct room *r, size_t size, void *owner, struct region **region)
{
    size_t slot_bytes;
    unsigned class = class_of(size, &slot_bytes);

    *region = class ? r->partial[class] : NULL;
    return *region ? take_from(r, *region, owner) : NULL;
}

void *room_grow(struct room *r, size_t size, size_t target, void *owner,
                struct region **region)
{
    size_t slot_bytes;
    unsigned class = class_of(size, &slot_bytes);
    unsigned slots = slots_for(slot_bytes, class, target);
    struct region *g = calloc(1, sizeof(*g) + slots * sizeof(g->owner[0]));

    if (!g)
        return NULL;
    g->bytes = region_bytes(slot_bytes, slots);
    g->memory = env_alloc(g->bytes);
    if (!g->memory) {
        free(g);
        return NULL;
    }
    g->class = class;
    g->slots = slots;
    g->slot_bytes = slot_bytes;
    g->free = slots < 64 ? (1ull << slots) - 1 : UINT64_MAX;
    r->bytes += g->bytes;
    list(r, g);
    *region = g;
    return take_from(r, g, owner);
}

struct region *room_emptiest(const struct room *r)
{
    struct region *best = NULL, *g;
    size_t least = SIZE_MAX;
    unsigned i;

    for (i = 0; i < ROOM_CLASSES; i++) {
        for (g = r->partial[i]; g; g = g->next) {
            size_t used =
                (g->slots - (unsigned)__builtin_popcountll(g->free)) * g->slot_bytes;

            if (used < least) {
                least = used;
                best = g;
            }
        }
    }
    return best;
}

void room_give(struct room *r, struct region *g, void *slot)
{
    uint64_t all = g->slots < 64 ? (1ull << g->slots) - 1 : UINT64_MAX;
    uint64_t bit = 1ull << (size_t)((uint8_t *)slot - g->memory) / g->slot_bytes;

    if (!g->free)
        list(r, g);
    g->free |= bit;
    r->used -= g->slot_bytes;
    if (g->free != all)
        return;
    unlist(r, g);
    r->bytes -= g->bytes;
    env_free(g->memory, g->bytes);
    free(g);
}
