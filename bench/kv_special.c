/*
 * kv_special.c - the two workloads that are no loop of operations.
 *
 * seekdeleted: a seek that lands behind DELETED neighbouring keys which were
 * deleted one by one, beside seeks in the same store before: right after the
 * deletes, and once everything is at rest. ops_per_s and the latencies are those
 * of the seeks right after.
 *
 * openkilled: a child fills a store, in single puts, and is killed; the time
 * that opening takes after that (until the first read is answered).
 */
#include <signal.h>
#include <sys/wait.h>

#include "kv_data.h"
#include "kv_measure.h"
#include "kv_run.h"

enum {
    DELETED = 100000,
    SEEKS = 50,
};

/* ---- seekdeleted ---- */

/* One seek to `record`, which must find `found`. */
static uint64_t timed_seek(struct kv_store *s, void *session, uint64_t record,
                           uint64_t found)
{
    uint8_t key[KV_KEY], expected[KV_KEY];
    uint64_t start = bench_now_ns();
    struct kv_entry e;

    if (!s->engine->start(session, KV_SEEK, kv_key(record, key), &e) ||
        !slice_eq(e.key, kv_key(found, expected)))
        bench_die(0, "%s: a seek found the wrong key", s->engine->name);
    s->engine->stop(session);
    return bench_now_ns() - start;
}

static double median_us(const struct bench_latency *l)
{
    return (double)bench_latency_quantile(l, 0.5) / 1e3;
}

static void seeks(struct kv_store *s, void *session, uint64_t first, uint64_t step,
                  uint64_t found, struct bench_latency *l)
{
    for (uint64_t i = 0; i < SEEKS; i++) {
        uint64_t record = first + i * step;

        bench_latency_add(l, timed_seek(s, session, record, found ? found : record));
    }
}

static void seek_deleted(struct kv_store *s, struct kv_result *r)
{
    const uint64_t num = s->config->num, first = num / 2, last = first + DELETED;
    void *session = s->engine->session(s->db);
    struct bench_latency *clean = &(struct bench_latency){0},
                         *rested = &(struct bench_latency){0};
    struct kv_io before = kv_io_now();
    uint8_t key[KV_KEY];
    uint64_t start;

    if (num < 4 * DELETED)
        bench_die(0, "seekdeleted wants --num %d at least", 4 * DELETED);
    seeks(s, session, first, DELETED / SEEKS, 0, clean); /* twice: the first */
    memset(clean, 0, sizeof(*clean));                    /* fills the cache */
    seeks(s, session, first, DELETED / SEEKS, 0, clean);
    for (uint64_t i = first; i < last; i++)
        s->engine->remove(session, kv_key(i, key));
    start = bench_now_ns();
    seeks(s, session, first, 0, last, &r->latency);
    r->seconds = (double)(bench_now_ns() - start) / 1e9;
    r->ops = SEEKS;
    kv_store_settle(s);
    seeks(s, session, first, 0, last, rested);
    s->engine->end(session);
    r->user_bytes = (uint64_t)DELETED * KV_KEY;
    r->written_bytes = kv_io_now().written_bytes - before.written_bytes;
    kv_result_extra(r, "clean_us", median_us(clean));
    kv_result_extra(r, "deleted_us", median_us(&r->latency));
    kv_result_extra(r, "first_us", (double)r->latency.max_ns / 1e3);
    kv_result_extra(r, "rested_us", median_us(rested));
    kv_result_extra(r, "deleted_over_clean", median_us(&r->latency) / median_us(clean));
    kv_result_extra(r, "rested_over_clean", median_us(rested) / median_us(clean));
}

/* ---- openkilled ---- */

/* Ends killed, in the middle of things; never returns. */
__attribute__((noreturn)) static void fill_and_die(struct kv_store *s)
{
    uint8_t key[KV_KEY];
    void *session;

    kv_store_new(s);
    session = s->engine->session(s->db);
    for (uint64_t i = 0, num = s->config->num; i < num; i++) {
        uint64_t record = kv_shuffled(i, num);

        s->engine->put(session, kv_key(record, key), kv_value(record, 0));
    }
    kill(getpid(), SIGKILL);
    exit(1);
}

static void open_killed(struct kv_store *s, struct kv_result *r)
{
    pid_t child = fork();
    struct slice value;
    uint8_t key[KV_KEY];
    void *session;
    uint64_t start;
    int status;

    if (child == 0)
        fill_and_die(s);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        bench_die(-errno, "child");
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        bench_die(0, "%s: the child failed", s->engine->name);
    kv_result_extra(r, "killed_disk_mb", (double)kv_disk_bytes(s->path) / 1e6);

    start = bench_now_ns();
    s->db = s->engine->open(s->config, s->path);
    session = s->engine->session(s->db);
    if (!s->engine->get(session, kv_key(0, key), &value) || !kv_value_is(value, 0, 0))
        bench_die(0, "%s: a record was lost", s->engine->name);
    bench_latency_add(&r->latency, bench_now_ns() - start);
    r->seconds = (double)r->latency.max_ns / 1e9;
    r->ops = 1;
    kv_result_extra(r, "open_ms", (double)r->latency.max_ns / 1e6);
    s->engine->end(session);
    s->engine->settle(s->db);
}

bool kv_is_special(const struct kv_workload *work)
{
    return !work->op;
}

void kv_run_special(struct kv_store *s, const struct kv_workload *work,
                    struct kv_result *r)
{
    kv_memory_reset();
    if (strcmp(work->name, "seekdeleted") == 0) {
        seek_deleted(s, r);
        r->live_bytes = kv_live_bytes(s->config->num - DELETED);
    } else {
        open_killed(s, r);
        r->live_bytes = kv_live_bytes(s->config->num);
    }
    r->peak_memory_bytes = kv_memory_peak_bytes();
    r->anon_memory_bytes = kv_memory_anon_bytes();
    r->disk_bytes = kv_disk_bytes_at_rest(s->path);
}
