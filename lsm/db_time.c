/*
 * db_time.c - how long calls take.
 *
 * A look at the clock costs as much as stepping an iterator, so of frequent calls
 * only some are measured: one in sample_every on average, at random distances, or a
 * load that repeats itself would show the same call again and again. What is
 * measured goes to histograms of the thread's slot, which are made when it first
 * measures something. Rare work is always measured, in histograms of the store.
 */
#include <stdlib.h>

#include "db_impl.h"

const unsigned db_sample_every[LSM_TIMED] = {
    [LSM_TIME_GET] = 64,   [LSM_TIME_WRITE] = 32, [LSM_TIME_SEEK] = 16,
    [LSM_TIME_NEXT] = 256, [LSM_TIME_FLUSH] = 1,  [LSM_TIME_COMPACTION] = 1,
    [LSM_TIME_SYNC] = 1,   [LSM_TIME_STALL] = 1,
};

/* xorshift64*; several threads may draw the same from the slot they share. */
static uint64_t draw(const struct lsm *db, struct slot *s)
{
    uint64_t x = atomic_load_explicit(&s->random, memory_order_relaxed);

    if (!x)
        x = ((uint64_t)(s - db->slot) + 1) * 0x9e3779b97f4a7c15;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    atomic_store_explicit(&s->random, x, memory_order_relaxed);
    return x * 0x2545f4914f6cdd1d >> 32;
}

unsigned db_draw(struct lsm *db, struct slot *s, enum lsm_timed what)
{
    return 1 + (unsigned)(draw(db, s) % (2 * db_sample_every[what] - 1));
}

unsigned db_draw_first(struct lsm *db, struct slot *s, enum lsm_timed what)
{
    unsigned a = db_draw(db, s, what), b = db_draw(db, s, what);

    return a < b ? a : b;
}

uint64_t db_sample(struct lsm *db, struct slot *s, enum lsm_timed what, uint64_t calls)
{
    _Atomic uint64_t *at = &s->sample_at[what];
    bool due = atomic_load_explicit(at, memory_order_relaxed) != 0;
    unsigned more = due ? db_draw(db, s, what) : db_draw_first(db, s, what);

    atomic_store_explicit(at, calls + more, memory_order_relaxed);
    return due ? env_now_ns(db->env) : 0;
}

static struct hist *slot_times(struct slot *s)
{
    struct hist *none = NULL, *h = atomic_load_explicit(&s->times, memory_order_acquire);
    size_t size = LSM_TIME_SAMPLED * sizeof(*h);

    if (h)
        return h;
    h = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!h)
        return NULL;
    memset(h, 0, size);
    if (!atomic_compare_exchange_strong(&s->times, &none, h)) {
        free(h);
        h = none;
    }
    return h;
}

void db_sampled(struct lsm *db, struct slot *s, enum lsm_timed what, uint64_t start)
{
    struct hist *h = slot_times(s);

    if (h)
        hist_add(&h[what], env_now_ns(db->env) - start);
}

void db_took(struct lsm *db, enum lsm_timed what, uint64_t ns)
{
    hist_add(&db->times[what - LSM_TIME_SAMPLED], ns);
}

void db_get_times(const struct lsm *db, enum lsm_timed what, struct hist_sum *out)
{
    unsigned i;

    memset(out, 0, sizeof(*out));
    if (what >= LSM_TIME_SAMPLED) {
        hist_sum_add(out, &db->times[what - LSM_TIME_SAMPLED]);
        return;
    }
    for (i = 0; i <= SLOTS; i++) {
        struct hist *h = atomic_load_explicit(&db->slot[i].times, memory_order_acquire);

        if (h)
            hist_sum_add(out, &h[what]);
    }
}

void db_times_free(struct lsm *db)
{
    unsigned i;

    for (i = 0; i <= SLOTS; i++)
        free(atomic_load(&db->slot[i].times));
}
