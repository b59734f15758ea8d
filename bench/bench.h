/*
 * bench.h - what the benchmarks share: time, latencies, made-up data, results.
 *
 * A benchmark prints one line for each figure on stdout, `name TAB value TAB
 * unit`, by way of bench_result and nothing else; scripts lay them out
 * (bench/quick). Names are stable: figures of different days are compared by
 * them. What people want to see meanwhile goes to stderr, by bench_progress. A
 * benchmark that meets an error or a wrong answer says so and ends (bench_die):
 * there is no figure for work that was not done.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- ending ---- */

/* rc: 0 or -errno. */
__attribute__((noreturn, format(printf, 2, 3))) static inline void
bench_die(int rc, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "%s%s\n", rc ? ": " : "", rc ? strerror(-rc) : "");
    exit(1);
}

/* ---- time ---- */

static inline uint64_t bench_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline double bench_per_second(double count, uint64_t ns)
{
    return ns ? count * 1e9 / (double)ns : 0;
}

/* ---- latencies ---- */

/*
 * A histogram of nanoseconds. Below 2^BENCH_EXACT_BITS a bucket is one value,
 * above, each power of two has 2^BENCH_EXACT_BITS buckets: a quantile is right
 * to 3 %. Zeroed is empty. Adding costs a few ns, and the caller's reading of
 * the clock 25: leave both out where an operation takes less than 500.
 */
enum {
    BENCH_EXACT_BITS = 5,
    BENCH_BUCKETS = (64 - BENCH_EXACT_BITS + 1) << BENCH_EXACT_BITS,
};

struct bench_latency {
    uint64_t count;
    uint64_t max_ns;
    uint64_t bucket[BENCH_BUCKETS];
};

static inline unsigned bench_bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns >> BENCH_EXACT_BITS == 0)
        return (unsigned)ns;
    shift = 63 - (unsigned)__builtin_clzll(ns) - BENCH_EXACT_BITS;
    return (shift << BENCH_EXACT_BITS) + (unsigned)(ns >> shift);
}

/* The least value that bucket i holds: the inverse of bench_bucket_of. */
static inline uint64_t bench_bucket_floor(unsigned i)
{
    unsigned shift;

    if (i < 2u << BENCH_EXACT_BITS)
        return i;
    shift = (i >> BENCH_EXACT_BITS) - 1;
    return (uint64_t)(i - (shift << BENCH_EXACT_BITS)) << shift;
}

static inline void bench_latency_add(struct bench_latency *l, uint64_t ns)
{
    l->count++;
    l->bucket[bench_bucket_of(ns)]++;
    if (ns > l->max_ns)
        l->max_ns = ns;
}

/* Add what from has to l. */
static inline void bench_latency_merge(struct bench_latency *l,
                                       const struct bench_latency *from)
{
    l->count += from->count;
    if (from->max_ns > l->max_ns)
        l->max_ns = from->max_ns;
    for (unsigned i = 0; i < BENCH_BUCKETS; i++)
        l->bucket[i] += from->bucket[i];
}

/* The latency in ns that a share q (0 to 1) of the operations did not exceed.
 */
static inline uint64_t bench_latency_quantile(const struct bench_latency *l, double q)
{
    uint64_t seen = 0, wanted = (uint64_t)(q * (double)l->count);

    for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
        seen += l->bucket[i];
        if (seen > wanted)
            return bench_bucket_floor(i);
    }
    return l->max_ns;
}

/* ---- data ---- */

/* xorshift64*: zero is no seed. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1D;
}

/* 0 to n-1; biased by less than n / 2^32. */
static inline uint32_t bench_random_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)((bench_random(state) >> 32) * n >> 32);
}

/*
 * Fill to with bytes that compress to about half: runs of BENCH_PIECE bytes,
 * the second half of each a copy of the first, which is random. A piece
 * compresses alone as well as among others.
 */
enum { BENCH_PIECE = 100 };

static inline void bench_fill(void *to, size_t len, uint64_t *random)
{
    uint8_t *at = to;

    for (size_t i = 0; i < len; i++)
        at[i] = i % BENCH_PIECE < BENCH_PIECE / 2 ? (uint8_t)(bench_random(random) >> 56)
                                                  : at[i - BENCH_PIECE / 2];
}

/* ---- results ---- */

static inline void bench_result(const char *name, double value, const char *unit)
{
    printf("%s\t%.*f\t%s\n", name, value < 100 ? 3 : 0, value, unit);
    fflush(stdout);
}

/* NAME.p50, NAME.p99 and NAME.max, in microseconds. */
static inline void bench_result_latency(const char *name, const struct bench_latency *l)
{
    char full[128];

    snprintf(full, sizeof(full), "%s.p50", name);
    bench_result(full, (double)bench_latency_quantile(l, 0.50) / 1e3, "us");
    snprintf(full, sizeof(full), "%s.p99", name);
    bench_result(full, (double)bench_latency_quantile(l, 0.99) / 1e3, "us");
    snprintf(full, sizeof(full), "%s.max", name);
    bench_result(full, (double)l->max_ns / 1e3, "us");
}

/* One line that changes on a terminal, one line a phase elsewhere. */
static inline void bench_progress(const char *phase)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s ...", phase);
    else
        fprintf(stderr, "%s\n", phase);
}

static inline void bench_progress_end(void)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

#endif
