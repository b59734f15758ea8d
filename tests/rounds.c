/*
 * rounds.c - see rounds.h.
 */
#include "tests/rounds.h"

struct lsm_options rounds_options(struct env *env)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.env = env;
    o.memtable_bytes = 64 << 10;
    o.table_bytes = 16 << 10;
    o.l1_bytes = 64 << 10;
    o.segment_bytes = 64 << 10;
    o.separate_bytes = 1024;
    o.memory_bytes = 320 << 10;
    o.workers = 0;
    o.sync_interval_ms = 0;
    return o;
}

struct slice rounds_key(int i, char to[16])
{
    snprintf(to, 16, "key%04d", i);
    return slice_str(to);
}

struct slice rounds_value(int i, int round, uint8_t to[2048])
{
    size_t len = i % 4 ? 20 : 2000;

    memset(to, 'a' + (i * 7 + round) % 26, len);
    snprintf((char *)to, 20, "%d-%d", i, round);
    return slice_of(to, len);
}
