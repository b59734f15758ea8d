/*
 * check_known.c - see check_known.h. Open addressing; nothing is ever removed.
 */
#include "check_known.h"

#include <stdlib.h>
#include <sys/random.h>

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDull;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53ull;
    return x ^ x >> 33;
}

static struct known *slot_of(struct known *slot, uint64_t slots, uint64_t seed,
                             uint64_t ino)
{
    uint64_t i = mix(ino ^ seed) & (slots - 1);

    while (slot[i].ino && slot[i].ino != ino)
        i = (i + 1) & (slots - 1);
    return &slot[i];
}

void known_release(struct known_table *t)
{
    free(t->slot);
    *t = (struct known_table){0};
}

static bool grow(struct known_table *t)
{
    uint64_t slots = t->slots ? t->slots * 2 : 1024, i;
    struct known *slot = calloc(slots, sizeof(*slot));

    if (!slot)
        return false;
    /* Without randomness the table works all the same, for all but hostile stores. */
    if (!t->seed && getrandom(&t->seed, sizeof(t->seed), 0) < 0)
        t->seed = 1;
    for (i = 0; i < t->slots; i++) {
        if (t->slot[i].ino)
            *slot_of(slot, slots, t->seed, t->slot[i].ino) = t->slot[i];
    }
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    return true;
}

struct known *known_find(const struct known_table *t, uint64_t ino)
{
    struct known *k = t->slots && ino ? slot_of(t->slot, t->slots, t->seed, ino) : NULL;

    return k && k->ino ? k : NULL;
}

struct known *known_add(struct known_table *t, uint64_t ino)
{
    struct known *k;

    if (t->used * 4 >= t->slots * 3 && !grow(t))
        return NULL;
    k = slot_of(t->slot, t->slots, t->seed, ino);
    if (!k->ino) {
        k->ino = ino;
        t->used++;
    }
    return k;
}
