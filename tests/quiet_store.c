/*
 * quiet_store.c - see quiet_store.h.
 */
#include "tests/quiet_store.h"

#include <stdlib.h>

#include "tests/test.h"

struct lsm_options quiet_options(void)
{
    struct lsm_options o;
    unsigned i;

    lsm_options_init(&o);
    o.create = true;
    o.workers = 0;
    o.memtable_bytes = 16 << 20;
    o.garbage_ratio = 0;
    o.vlog = LSM_RAW;
    for (i = 0; i < LSM_LEVELS; i++)
        o.compression[i] = LSM_RAW;
    return o;
}

struct lsm *quiet_open(const struct lsm_options *o)
{
    char path[256];
    struct lsm *db;

    snprintf(path, sizeof(path), "%s/store", test_dir());
    ck_ok(lsm_open(path, o, &db));
    return db;
}

struct slice quiet_key(unsigned i)
{
    static __thread char key[16];

    snprintf(key, sizeof(key), "key%06u", i);
    return slice_str(key);
}

void quiet_put(struct lsm *db, unsigned n, size_t len)
{
    char *value = malloc(len);
    uint64_t state = 1;
    unsigned i;

    for (i = 0; i < len; i++)
        value[i] = (char)test_random(&state);
    for (i = 0; i < n; i++)
        ck_ok(lsm_put(db, quiet_key(i), slice_of(value, len)));
    free(value);
}

void quiet_get(struct lsm *db, unsigned from, unsigned n, int want)
{
    struct lsm_value v = {0};
    unsigned i;

    for (i = from; i < from + n; i++)
        ck_assert_int_eq(lsm_get(db, NULL, quiet_key(i), &v), want);
    lsm_value_release(&v);
}
