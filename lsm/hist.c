/*
 * hist.c - see hist.h.
 */
#include "hist.h"

enum { SUBS = 1 << HIST_SUB_BITS };

static unsigned bucket_of(uint64_t value)
{
    unsigned top;

    if (value < SUBS)
        return (unsigned)value;
    if (value >> HIST_TOP_BITS)
        return HIST_BUCKETS - 1;
    top = 63 - (unsigned)__builtin_clzll(value);
    return ((top - HIST_SUB_BITS + 1) << HIST_SUB_BITS) +
           (unsigned)(value >> (top - HIST_SUB_BITS) & (SUBS - 1));
}

static uint64_t bucket_middle(unsigned i)
{
    unsigned shift = i < SUBS ? 0 : (i >> HIST_SUB_BITS) - 1;
    uint64_t low = i < SUBS ? i : (uint64_t)(SUBS + i % SUBS) << shift;

    return low + ((1ull << shift) - 1) / 2;
}

void hist_add(struct hist *h, uint64_t value)
{
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);

    atomic_fetch_add_explicit(&h->bucket[bucket_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
    while (value > max && !atomic_compare_exchange_weak_explicit(&h->max, &max, value,
                                                                 memory_order_relaxed,
                                                                 memory_order_relaxed))
        ;
}

void hist_sum_add(struct hist_sum *to, const struct hist *h)
{
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    unsigned i;

    for (i = 0; i < HIST_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);

        to->bucket[i] += n;
        to->count += n;
    }
    to->sum += atomic_load_explicit(&h->sum, memory_order_relaxed);
    if (max > to->max)
        to->max = max;
}

void hist_sum_merge(struct hist_sum *to, const struct hist_sum *from)
{
    unsigned i;

    for (i = 0; i < HIST_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
    to->count += from->count;
    to->sum += from->sum;
    if (from->max > to->max)
        to->max = from->max;
}

uint64_t hist_quantile(const struct hist_sum *s, double q)
{
    double want = q * (double)s->count;
    uint64_t rank = (uint64_t)want, seen = 0, middle;
    unsigned i;

    rank += (double)rank < want;
    for (i = 0; i < HIST_BUCKETS - 1; i++) {
        seen += s->bucket[i];
        if (seen && seen >= rank) {
            middle = bucket_middle(i);
            return middle < s->max ? middle : s->max;
        }
    }
    return s->max;
}

uint64_t hist_below(const struct hist_sum *s, unsigned bits)
{
    unsigned end = (bits - HIST_SUB_BITS + 1) << HIST_SUB_BITS, i;
    uint64_t n = 0;

    for (i = 0; i < end; i++)
        n += s->bucket[i];
    return n;
}
