/*
 * kv_run.h - stores to measure, and the measuring.
 */
#ifndef BENCH_KV_RUN_H
#define BENCH_KV_RUN_H

#include "kv_report.h"
#include "kv_work.h"

struct kv_store {
    const struct kv_engine *engine;
    const struct kv_config *config;
    const char *path;
    void *db;           /* NULL: closed */
    size_t value_bytes; /* of its records */
};

/* A new store at s->path; what was there is removed. */
void kv_store_new(struct kv_store *s);
/* Every record, shuffled, by all means the engine has; not at rest. */
void kv_store_fill(struct kv_store *s);
void kv_store_settle(struct kv_store *s);
/* Read it once, so that the cache has what it holds. */
void kv_store_warm(struct kv_store *s);
/* Close and remove; nothing when it is not open. */
void kv_store_drop(struct kv_store *s);

/*
 * Do one workload on s, which is as it wants it, and settle. r is zeroed but for
 * engine, workload and config.
 */
void kv_run(struct kv_store *s, const struct kv_workload *work, struct kv_result *r);

/* ---- kv_special.c: what is no loop of operations ---- */

bool kv_is_special(const struct kv_workload *work);
/* As kv_run. Opens and closes s itself if work wants it KV_EMPTY. */
void kv_run_special(struct kv_store *s, const struct kv_workload *work,
                    struct kv_result *r);

#endif
