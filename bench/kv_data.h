/*
 * kv_data.h - the records that bench-kv writes and looks for: the same for every
 * engine, made from a record's number alone, so that nothing is kept in memory
 * and every answer can be checked.
 *
 * Keys are KV_KEY bytes, as db_bench makes them: a big-endian number, then '0's.
 * Records have the even numbers; what is looked for in vain has an odd one and
 * lies between keys that exist. Values compress to about half (bench_fill), alone
 * as well as beside others.
 */
#ifndef BENCH_KV_DATA_H
#define BENCH_KV_DATA_H

#include "kv.h"

enum {
    KV_KEY = 16,
    KV_BIG_MIN = 16 << 10,  /* value_bytes 0: sizes from MIN to MAX, small ones */
    KV_BIG_MAX = 128 << 10, /* as common as large ones on a logarithmic scale */
};

void kv_data_init(const struct kv_config *c);
void kv_data_release(void);

struct slice kv_key(uint64_t record, uint8_t key[KV_KEY]);
struct slice kv_absent_key(uint64_t record, uint8_t key[KV_KEY]);

/* All versions of a record's value are of one size. */
size_t kv_value_len(uint64_t record);
struct slice kv_value(uint64_t record, uint64_t version);
/* Is value what kv_value gives? Of large ones only the ends are looked at. */
bool kv_value_is(struct slice value, uint64_t record, uint64_t version);

/* Keys and values of records 0 to num-1. */
uint64_t kv_live_bytes(uint64_t num);

/* A permutation of 0 to num-1 that looks like chance: the i-th of them. */
uint64_t kv_shuffled(uint64_t i, uint64_t num);

#endif
