/*
 * hist.h - a histogram of durations in nanoseconds (or of any other numbers).
 *
 * Log-linear, as HdrHistogram's: numbers below 8 have a bucket each, and every
 * power of two above is cut into 8 buckets of equal width. So a quantile is
 * within a sixteenth (6.25 %) of the number it stands for, whatever its size, in
 * 2.4 KiB. Numbers of 2^40 and more (18 minutes) go to the last bucket.
 *
 * Recording is safe from any thread and never loses a number; where many record
 * at once, give each thread its own and merge. Merging is exact.
 */
#ifndef LSM_HIST_H
#define LSM_HIST_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    HIST_SUB_BITS = 3,
    HIST_TOP_BITS = 40,
    HIST_BUCKETS = (HIST_TOP_BITS - HIST_SUB_BITS + 1) << HIST_SUB_BITS,
};

/* Zeroed is empty. */
struct hist {
    _Atomic uint64_t bucket[HIST_BUCKETS];
    _Atomic uint64_t sum, max;
};

void hist_add(struct hist *h, uint64_t value);

/* What one or more of them hold. Zeroed is empty. */
struct hist_sum {
    uint64_t bucket[HIST_BUCKETS];
    uint64_t count, sum, max;
};

/* Add what h holds now. What is recorded meanwhile is in it or not, a number's
 * bucket perhaps without its share of sum and max. */
void hist_sum_add(struct hist_sum *to, const struct hist *h);
void hist_sum_merge(struct hist_sum *to, const struct hist_sum *from);

/*
 * The middle of the bucket that holds the number of rank q * count, counted from
 * the smallest, but at most max; in the last bucket, max. q: 0 to 1. 0 when empty.
 */
uint64_t hist_quantile(const struct hist_sum *s, double q);

/* How many are below 2^bits, exactly. bits: HIST_SUB_BITS to HIST_TOP_BITS - 1. */
uint64_t hist_below(const struct hist_sum *s, unsigned bits);

#endif
