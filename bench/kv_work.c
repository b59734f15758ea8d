/*
 * kv_work.c - the workloads, operation by operation.
 *
 * Reads check what they get: presence and, as long as nothing else writes, the
 * value. Random choices are uniform over the records.
 */
#include "kv_data.h"
#include "kv_work.h"

enum { CHUNK = 100 }; /* entries of a whole-store scan between looks at the clock */

/* Version 0 is what filling wrote. */
static uint64_t put(struct kv_worker *w, uint64_t record, uint64_t version)
{
    uint8_t key[KV_KEY];
    struct slice value = kv_value(record, version);

    w->engine->put(w->session, kv_key(record, key), value);
    w->user_bytes += KV_KEY + value.len;
    w->wrote = true;
    return 1;
}

static uint64_t random_record(struct kv_worker *w)
{
    uint64_t random = bench_random(&w->random);

    return (uint64_t)((unsigned __int128)random * w->config->num >> 64);
}

static uint64_t put_in_order(struct kv_worker *w, uint64_t i)
{
    return put(w, i % w->config->num, i / w->config->num);
}

static uint64_t put_shuffled(struct kv_worker *w, uint64_t i)
{
    uint64_t num = w->config->num;

    return put(w, kv_shuffled(i % num, num), i / num);
}

static uint64_t put_again(struct kv_worker *w, uint64_t i)
{
    return put(w, random_record(w), 1 + i);
}

static uint64_t remove_shuffled(struct kv_worker *w, uint64_t i)
{
    uint64_t num = w->config->num;
    uint8_t key[KV_KEY];

    w->engine->remove(w->session, kv_key(kv_shuffled(i % num, num), key));
    w->user_bytes += KV_KEY;
    w->wrote = true;
    return 1;
}

static uint64_t get_record(struct kv_worker *w, bool unchanged)
{
    uint64_t record = random_record(w);
    uint8_t key[KV_KEY];
    struct slice value;

    w->wrote = false;
    if (!w->engine->get(w->session, kv_key(record, key), &value))
        bench_die(0, "%s: record %" PRIu64 " is not there", w->engine->name, record);
    if (unchanged ? !kv_value_is(value, record, 0) : value.len != kv_value_len(record))
        bench_die(0, "%s: record %" PRIu64 " is wrong", w->engine->name, record);
    return 1;
}

static uint64_t get_random(struct kv_worker *w, uint64_t i)
{
    return get_record(w, true);
}

static uint64_t get_changing(struct kv_worker *w, uint64_t i)
{
    return get_record(w, false);
}

static uint64_t get_missing(struct kv_worker *w, uint64_t i)
{
    uint8_t key[KV_KEY];
    struct slice value;

    if (w->engine->get(w->session, kv_absent_key(random_record(w), key), &value))
        bench_die(0, "%s: found what is not there", w->engine->name);
    return 1;
}

static uint64_t get_or_put(struct kv_worker *w, uint64_t i)
{
    return bench_random(&w->random) >> 63 ? put_again(w, i) : get_record(w, false);
}

static void check_entry(const struct kv_worker *w, const struct kv_entry *e)
{
    if (e->key.len != KV_KEY || e->value.len < 1 ||
        (w->config->value_bytes && e->value.len != w->config->value_bytes))
        bench_die(0, "%s: an entry is wrong", w->engine->name);
}

/* A hundred entries of a scan over the store, which starts again at its end. */
static uint64_t walk(struct kv_worker *w, enum kv_place place,
                     bool (*step)(void *session, struct kv_entry *e))
{
    struct kv_entry e;
    uint64_t n = 0;
    bool valid = true;

    if (!w->iterating) {
        w->iterating = true;
        if (!w->engine->start(w->session, place, slice_of(NULL, 0), &e))
            bench_die(0, "%s: the store is empty", w->engine->name);
        check_entry(w, &e);
        n++;
    }
    while (n < CHUNK && (valid = step(w->session, &e))) {
        check_entry(w, &e);
        n++;
    }
    if (!valid) {
        w->engine->stop(w->session);
        w->iterating = false;
    }
    return n;
}

static uint64_t walk_forward(struct kv_worker *w, uint64_t i)
{
    return walk(w, KV_FIRST, w->engine->next);
}

static uint64_t walk_back(struct kv_worker *w, uint64_t i)
{
    return walk(w, KV_LAST, w->engine->prev);
}

static void stop_walking(struct kv_worker *w)
{
    if (w->iterating)
        w->engine->stop(w->session);
    w->iterating = false;
}

/* A new iterator for each, as one readdir or one range query makes. */
static void range(struct kv_worker *w, uint64_t first, int nexts)
{
    uint8_t key[KV_KEY];
    struct kv_entry e;

    if (!w->engine->start(w->session, KV_SEEK, kv_key(first, key), &e))
        bench_die(0, "%s: nothing at or after a record", w->engine->name);
    do
        check_entry(w, &e);
    while (nexts-- > 0 && w->engine->next(w->session, &e));
    w->engine->stop(w->session);
}

static uint64_t seek_random(struct kv_worker *w, uint64_t i)
{
    range(w, random_record(w), KV_SEEK_NEXTS);
    return 1;
}

static uint64_t scan_random(struct kv_worker *w, uint64_t i)
{
    range(w, random_record(w), KV_SCAN_ENTRIES - 1);
    return 1;
}

static const struct kv_workload workloads[] = {
    {"fillseq", KV_EMPTY, true, 1, put_in_order, NULL, NULL},
    {"fillrandom", KV_EMPTY, true, 1, put_shuffled, NULL, NULL},
    {"fillsync", KV_EMPTY, true, 1, put_shuffled, NULL,
     NULL}, /* kv.c sets config->sync */
    {"overwrite", KV_FILLED, true, 1, put_again, NULL, NULL},
    {"bigoverwrite", KV_FILLED, true, 1, put_again, NULL,
     NULL}, /* kv.c sets value_bytes */
    {"deleterandom", KV_FILLED, true, 1, remove_shuffled, NULL, NULL},
    {"mixed", KV_FILLED, true, 1, get_or_put, NULL, NULL},
    {"readrandom", KV_FILLED, false, 8, get_random, NULL, NULL},
    {"readmissing", KV_FILLED, false, 8, get_missing, NULL, NULL},
    {"readseq", KV_FILLED, false, 1, walk_forward, stop_walking, NULL},
    {"readreverse", KV_FILLED, false, 1, walk_back, stop_walking, NULL},
    {"seekrandom", KV_FILLED, false, 1, seek_random, NULL, NULL},
    {"scan", KV_FILLED, false, 1, scan_random, NULL, NULL},
    {"readwhilewriting", KV_FILLED, true, 8, get_changing, NULL, put_again},
    {"seekdeleted", KV_FILLED, true, 1, NULL, NULL,
     NULL}, /* these four are kv_special.c's */
    {"seekrangedeleted", KV_FILLED, true, 1, NULL, NULL, NULL},
    {"queue", KV_EMPTY, true, 1, NULL, NULL, NULL},
    {"openkilled", KV_EMPTY, true, 1, NULL, NULL, NULL},
};

enum { WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

const struct kv_workload *kv_workload_find(const char *name)
{
    for (int i = 0; i < WORKLOADS; i++) {
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    }
    return NULL;
}

void kv_workload_names(FILE *out)
{
    for (int i = 0; i < WORKLOADS; i++)
        fprintf(out, "%s%s", i ? " " : "", workloads[i].name);
    fputs("\n", out);
}
