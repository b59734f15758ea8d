/*
 * rate.c - see rate.h.
 */
#include "rate.h"

enum {
    BURST_NS = 50000000, /* unused allowance that is kept */
    SLEEP_MIN_NS = 1000000,
    SLEEP_MAX_NS = 100000000,
    LEAST_BYTES = 32 << 20, /* a second: a store at rest catches up in reasonable time */
    WRITE_AMP = 16,         /* what one user's byte may cost the background */
};

/* Debts between these raise the rate; above, there is none. */
static const double DEBT_SOME = 1.0, DEBT_MUCH = 2.0;

void rate_init(struct rate *r, struct env *env, uint64_t bytes_per_s)
{
    r->env = env;
    atomic_init(&r->bytes_per_s, bytes_per_s);
    atomic_init(&r->next_ns, 0);
    atomic_init(&r->waited_ns, 0);
}

void rate_set(struct rate *r, uint64_t bytes_per_s)
{
    atomic_store_explicit(&r->bytes_per_s, bytes_per_s, memory_order_relaxed);
}

void rate_take(struct rate *r, uint64_t bytes)
{
    uint64_t rate = atomic_load_explicit(&r->bytes_per_s, memory_order_relaxed);
    uint64_t now, old, from, until;

    if (rate == RATE_UNLIMITED || rate == 0)
        return;
    now = env_now_ns(r->env);
    old = atomic_load_explicit(&r->next_ns, memory_order_relaxed);
    do {
        from = old + BURST_NS < now ? now - BURST_NS : old;
        until = from + (uint64_t)((double)bytes * 1e9 / (double)rate);
    } while (!atomic_compare_exchange_weak_explicit(
        &r->next_ns, &old, until, memory_order_relaxed, memory_order_relaxed));
    if (until < now + SLEEP_MIN_NS)
        return;
    until -= now;
    if (until > SLEEP_MAX_NS)
        until = SLEEP_MAX_NS;
    env_sleep_ns(r->env, until);
    atomic_fetch_add_explicit(&r->waited_ns, until, memory_order_relaxed);
}

uint64_t rate_automatic(uint64_t user_bytes_per_s, double debt)
{
    double rate = (double)user_bytes_per_s * WRITE_AMP;

    if (debt >= DEBT_MUCH)
        return RATE_UNLIMITED;
    if (rate < LEAST_BYTES)
        rate = LEAST_BYTES;
    if (debt > DEBT_SOME)
        rate /= 1.0 - (debt - DEBT_SOME) / (DEBT_MUCH - DEBT_SOME) * 0.9;
    return rate < 1e15 ? (uint64_t)rate : RATE_UNLIMITED;
}
