/*
 * kv_work.h - bench-kv's workloads: what is done to a store, one operation at a
 * time. kv_run.c fills stores, starts threads and holds the clock.
 */
#ifndef BENCH_KV_WORK_H
#define BENCH_KV_WORK_H

#include "bench.h"
#include "kv.h"

/* One thread's part of a timed run. */
struct kv_worker {
    const struct kv_engine *engine;
    const struct kv_config *config;
    void *session;
    uint64_t random;
    uint64_t user_bytes; /* keys and values given to puts and deletes */
    bool wrote;          /* the last operation did */
    bool iterating;      /* between two operations of a whole-store scan */
    struct bench_latency reads, writes;
};

enum kv_before {
    KV_EMPTY,  /* a new store */
    KV_FILLED, /* all records, in random order, settled */
};

struct kv_workload {
    const char *name;
    enum kv_before before;
    bool changes;    /* the store is not as before when it is over */
    unsigned sample; /* one operation of so many is timed: reading the clock costs */
    /* Operation i of its thread; how many it was. Must not be many more than a 100. */
    uint64_t (*op)(struct kv_worker *w, uint64_t i);
    void (*finish)(struct kv_worker *w); /* or NULL: when the thread is done */
    /* Done by one more thread meanwhile, KV_BESIDE_RATE times a second. */
    uint64_t (*beside)(struct kv_worker *w, uint64_t i);
};

enum {
    KV_BESIDE_RATE = 20000, /* equal for all: a faster writer would slow its readers */
    KV_SEEK_NEXTS = 10,
    KV_SCAN_ENTRIES = 10000,
};

/* NULL when there is none of that name. */
const struct kv_workload *kv_workload_find(const char *name);
/* Their names, one after the other, to out. */
void kv_workload_names(FILE *out);

#endif
