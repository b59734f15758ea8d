/*
 * env_cache_slots.c - see env_cache_slots.h.
 */
#include "env_cache_slots.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

int slots_init(struct slots *s, uint32_t max)
{
    uint64_t size = 16;

    *s = (struct slots){.max = max};
    while (size < (uint64_t)max + max / 3)
        size *= 2;
    if (size > UINT32_MAX)
        return -EINVAL;
    s->mask = (uint32_t)size - 1;
    s->key = calloc(max, sizeof(*s->key));
    s->heat = calloc(max, sizeof(*s->heat));
    s->table = calloc(size, sizeof(*s->table));
    if (!s->key || !s->heat || !s->table) {
        slots_release(s);
        return -ENOMEM;
    }
    if (getrandom(&s->seed, sizeof(s->seed), GRND_NONBLOCK) != sizeof(s->seed))
        s->seed = (uint64_t)(uintptr_t)s->key; /* good enough */
    return 0;
}

void slots_release(struct slots *s)
{
    free(s->key);
    free(s->heat);
    free(s->table);
    *s = (struct slots){0};
}

/* ---- the hash table: linear probing ---- */

static uint32_t home(const struct slots *s, uint64_t key)
{
    return (uint32_t)(((key ^ s->seed) * 0x9E3779B97F4A7C15ull) >> 32) & s->mask;
}

/* Where key is, or the free place where it would be. */
static uint32_t place(const struct slots *s, uint64_t key)
{
    uint32_t at = home(s, key);

    while (s->table[at] && s->key[s->table[at] - 1] != key)
        at = (at + 1) & s->mask;
    return at;
}

bool slots_find(const struct slots *s, uint64_t key, uint32_t *slot)
{
    uint32_t found = s->table[place(s, key)];

    if (!found)
        return false;
    *slot = found - 1;
    return true;
}

/* What stands behind a freed place moves up, unless it is at home there already. */
static void close_gap(struct slots *s, uint32_t gap)
{
    uint32_t at = gap;

    for (;;) {
        uint32_t want;

        at = (at + 1) & s->mask;
        if (!s->table[at])
            break;
        want = home(s, s->key[s->table[at] - 1]);
        if (((at - want) & s->mask) >= ((at - gap) & s->mask)) {
            s->table[gap] = s->table[at];
            gap = at;
        }
    }
    s->table[gap] = 0;
}

/* ---- slots ---- */

void slots_warm(struct slots *s, uint32_t slot)
{
    if (s->heat[slot] < SLOT_WARMEST)
        s->heat[slot]++;
}

bool slots_put(struct slots *s, uint32_t slot, uint64_t key, unsigned heat)
{
    uint32_t at = place(s, key);

    if (s->table[at])
        return false;
    s->table[at] = slot + 1;
    s->key[slot] = key;
    s->heat[slot] = (uint8_t)heat;
    s->live++;
    return true;
}

void slots_drop(struct slots *s, uint32_t slot)
{
    if (!s->key[slot])
        return;
    close_gap(s, place(s, s->key[slot]));
    s->key[slot] = 0;
    s->heat[slot] = 0;
    s->live--;
}

uint32_t slots_victim(struct slots *s)
{
    uint32_t slot;

    for (;; s->hand++) {
        if (s->hand >= s->used)
            s->hand = 0;
        if (!s->heat[s->hand])
            break;
        s->heat[s->hand]--;
    }
    slot = s->hand++;
    slots_drop(s, slot);
    return slot;
}

void slots_cut(struct slots *s, uint32_t n)
{
    while (s->used > n)
        slots_drop(s, --s->used);
}
