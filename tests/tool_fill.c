/*
 * tool_fill.c - fill a store with random values and read all of it back.
 *
 *     tool_fill STORE MIB [SEED]
 *
 * Writes MIB mebibytes of 512-byte values under random keys, waits for
 * compaction, checks each value, prints the statistics. Opening again checks
 * that no level below L0 overlaps.
 */
#include "tests/test.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { VALUE = 512 };

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make(uint64_t seed, uint64_t i, uint8_t key[16], uint8_t value[VALUE])
{
    uint64_t x = (seed + i) * 0x9E3779B97F4A7C15ull | 1;
    int j;

    store_be64(key, test_random(&x));
    store_be64(key + 8, i);
    for (j = 0; j < VALUE; j += 8)
        store_le64(value + j, test_random(&x));
}

static int complain(const char *what, int rc)
{
    fprintf(stderr, "tool_fill: %s: %s\n", what, strerror(-rc));
    return 1;
}

static int fill(struct lsm *db, uint64_t n, uint64_t seed)
{
    uint8_t key[16], value[VALUE];
    uint64_t i;
    int rc = 0;

    for (i = 0; i < n && !rc; i++) {
        make(seed, i, key, value);
        rc = lsm_put(db, slice_of(key, sizeof(key)), slice_of(value, VALUE));
    }
    return rc;
}

static int check(struct lsm *db, uint64_t n, uint64_t seed)
{
    struct lsm_value v = {0};
    uint8_t key[16], value[VALUE];
    uint64_t i;
    int rc = 0;

    for (i = 0; i < n && !rc; i++) {
        make(seed, i, key, value);
        rc = lsm_get(db, NULL, slice_of(key, sizeof(key)), &v);
        if (!rc && !slice_eq(v.value, slice_of(value, VALUE)))
            rc = -EUCLEAN;
    }
    lsm_value_release(&v);
    return rc;
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) * 1024 * 1024 / VALUE : 0;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    struct lsm_options o;
    struct lsm_stats s;
    struct lsm *db;
    double t = seconds();
    int rc;

    if (!n) {
        fprintf(stderr, "usage: tool_fill STORE MIB [SEED]\n");
        return 2;
    }
    lsm_options_init(&o);
    o.create = true;
    rc = lsm_open(argv[1], &o, &db);
    if (rc)
        return complain("open", rc);
    rc = fill(db, n, seed);
    if (rc)
        return complain("put", rc);
    printf("%" PRIu64 " puts in %.1f s\n", n, seconds() - t);
    lsm_get_stats(db, &s);
    lsm_print_stats(&s, stdout);
    rc = lsm_compact(db, false);
    if (rc)
        return complain("compact", rc);
    printf("compacted after %.1f s\n", seconds() - t);
    rc = lsm_close(db);
    if (rc)
        return complain("close", rc);
    rc = lsm_open(argv[1], &o, &db);
    if (rc)
        return complain("open again", rc);
    t = seconds();
    rc = check(db, n, seed);
    if (rc)
        return complain("reading back", rc);
    printf("%" PRIu64 " gets in %.1f s, all right\n", n, seconds() - t);
    lsm_get_stats(db, &s);
    lsm_print_stats(&s, stdout);
    rc = lsm_close(db);
    return rc ? complain("close", rc) : 0;
}
