/*
 * env_cache_slots.h - which block is in which slot of the local cache, and which slot is
 * to be had next.
 *
 * In memory: 9 bytes a slot, and 4 to 11 for the hash table. Second chance, of two bits:
 * a read of a block makes its slot warmer, and the hand that goes round cools the slots
 * that it passes, until it finds a cold one. The caller locks.
 */
#ifndef LSM_ENV_CACHE_SLOTS_H
#define LSM_ENV_CACHE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SLOT_COLD = 0, /* written ahead: nobody has read it yet */
    SLOT_READ = 1, /* fetched by a read */
    SLOT_WARMEST = 3,
};

struct slots {
    uint32_t max;  /* slots that there may be */
    uint32_t used; /* that there are; the others have never been written */
    uint32_t live; /* that hold a block */
    uint32_t hand;
    uint64_t *key; /* 0: nothing */
    uint8_t *heat;
    uint32_t *table; /* by key; slot + 1 */
    uint32_t mask;
    uint64_t seed; /* so that nobody knows which keys meet */
};

int slots_init(struct slots *s, uint32_t max);
void slots_release(struct slots *s);

/* Keys are never 0. */
bool slots_find(const struct slots *s, uint64_t key, uint32_t *slot);
/* The block of that slot was read. */
void slots_warm(struct slots *s, uint32_t slot);
/* A slot below `used` that is to be written to; what it held is gone. There must be one.
 */
uint32_t slots_victim(struct slots *s);
/* slot, which holds nothing, holds key, which no other does (false: one does). */
bool slots_put(struct slots *s, uint32_t slot, uint64_t key, unsigned heat);
void slots_drop(struct slots *s, uint32_t slot);
/* Only the first n are used from here on. */
void slots_cut(struct slots *s, uint32_t n);

#endif
