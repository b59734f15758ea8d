/*
 * kv_special.c - the workloads that are no loop of operations.
 *
 * seekdeleted: a seek that lands behind DELETED neighbouring keys which were
 * deleted one by one, beside seeks in the same store before: right after the
 * deletes, and once everything is at rest. ops_per_s and the latencies are those
 * of the seeks right after.
 *
 * seekrangedeleted: the same with one range delete over all of them. Then MARKS single
 * keys, each DISTANCE from the last, are deleted: one by one in one part of the store,
 * each by a range delete of its own in another; and walks over either are timed.
 *
 * queue: BACKLOG records, then `num` times: a record is put at the tail, the first one
 * is looked for with a new iterator, and deleted. The latencies are those of looking.
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
    MARKS = 1000,
    DISTANCE = 10,
    BACKLOG = 1000,
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

/* The seeks before, right after and long after `remove` deleted records from first to
 * last. */
static void compare_seeks(struct kv_store *s, void *session, uint64_t first,
                          void (*remove)(struct kv_store *s, void *session,
                                         uint64_t first),
                          struct kv_result *r)
{
    const uint64_t last = first + DELETED;
    struct bench_latency *clean = &(struct bench_latency){0},
                         *rested = &(struct bench_latency){0};
    uint64_t start;

    seeks(s, session, first, DELETED / SEEKS, 0, clean); /* twice: the first */
    memset(clean, 0, sizeof(*clean));                    /* fills the cache */
    seeks(s, session, first, DELETED / SEEKS, 0, clean);
    remove(s, session, first);
    start = bench_now_ns();
    seeks(s, session, first, 0, last, &r->latency);
    r->seconds = (double)(bench_now_ns() - start) / 1e9;
    r->ops = SEEKS;
    kv_store_settle(s);
    seeks(s, session, first, 0, last, rested);
    kv_result_extra(r, "clean_us", median_us(clean));
    kv_result_extra(r, "deleted_us", median_us(&r->latency));
    kv_result_extra(r, "first_us", (double)r->latency.max_ns / 1e3);
    kv_result_extra(r, "rested_us", median_us(rested));
    kv_result_extra(r, "deleted_over_clean", median_us(&r->latency) / median_us(clean));
    kv_result_extra(r, "rested_over_clean", median_us(rested) / median_us(clean));
}

static void remove_one_by_one(struct kv_store *s, void *session, uint64_t first)
{
    uint8_t key[KV_KEY];

    for (uint64_t i = first; i < first + DELETED; i++)
        s->engine->remove(session, kv_key(i, key));
}

static void remove_at_once(struct kv_store *s, void *session, uint64_t first)
{
    uint8_t from[KV_KEY], to[KV_KEY];

    s->engine->remove_range(session, kv_key(first, from), kv_key(first + DELETED, to));
}

static void seek_deleted(struct kv_store *s, struct kv_result *r)
{
    void *session = s->engine->session(s->db);
    struct kv_io before = kv_io_now();

    if (s->config->num < 4 * DELETED)
        bench_die(0, "seekdeleted wants --num %d at least", 4 * DELETED);
    compare_seeks(s, session, s->config->num / 2, remove_one_by_one, r);
    s->engine->end(session);
    r->user_bytes = (uint64_t)DELETED * KV_KEY;
    r->written_bytes = kv_io_now().written_bytes - before.written_bytes;
}

/* ---- seekrangedeleted ---- */

/* Microseconds from the record `first` over MARKS * DISTANCE others, `gone` of which
 * are not there; of several walks the median. */
static double walk_us(struct kv_store *s, void *session, uint64_t first, uint64_t gone)
{
    const uint64_t last = first + MARKS * DISTANCE;
    struct bench_latency *l = &(struct bench_latency){0};
    uint8_t key[KV_KEY], end[KV_KEY];

    kv_key(last, end);
    for (int i = 0; i < 9; i++) {
        uint64_t start = bench_now_ns(), n = 0;
        struct kv_entry e;
        bool valid = s->engine->start(session, KV_SEEK, kv_key(first, key), &e);

        for (; valid && slice_cmp(e.key, slice_of(end, KV_KEY)) < 0; n++)
            valid = s->engine->next(session, &e);
        s->engine->stop(session);
        bench_latency_add(l, bench_now_ns() - start);
        if (n != MARKS * DISTANCE - gone)
            bench_die(0, "%s: a walk found %d records", s->engine->name, (int)n);
    }
    return median_us(l);
}

static void seek_range_deleted(struct kv_store *s, struct kv_result *r)
{
    const uint64_t points = 0, ranges = s->config->num / 4;
    void *session = s->engine->session(s->db);
    struct kv_io before = kv_io_now();
    uint8_t key[KV_KEY], end[KV_KEY];

    if (!s->engine->remove_range)
        bench_die(0, "%s has no range deletes", s->engine->name);
    if (s->config->num < 4 * DELETED)
        bench_die(0, "seekrangedeleted wants --num %d at least", 4 * DELETED);
    compare_seeks(s, session, s->config->num / 2, remove_at_once, r);
    kv_result_extra(r, "walk_us", walk_us(s, session, points, 0));
    for (uint64_t i = DISTANCE / 2; i < MARKS * DISTANCE; i += DISTANCE) {
        s->engine->remove(session, kv_key(points + i, key));
        s->engine->remove_range(session, kv_key(ranges + i, key),
                                kv_absent_key(ranges + i, end));
    }
    kv_result_extra(r, "walk_points_us", walk_us(s, session, points, MARKS));
    kv_result_extra(r, "walk_ranges_us", walk_us(s, session, ranges, MARKS));
    kv_store_settle(s);
    kv_result_extra(r, "walk_ranges_rested_us", walk_us(s, session, ranges, MARKS));
    s->engine->end(session);
    r->user_bytes = (uint64_t)(2 + 3 * MARKS) * KV_KEY;
    r->written_bytes = kv_io_now().written_bytes - before.written_bytes;
}

/* ---- queue ---- */

static void queue(struct kv_store *s, struct kv_result *r)
{
    const uint64_t num = s->config->num;
    struct kv_io before = kv_io_now();
    uint8_t key[KV_KEY], expected[KV_KEY];
    uint64_t tail = 0, start;
    void *session;

    kv_store_new(s);
    session = s->engine->session(s->db);
    for (; tail < BACKLOG; tail++)
        s->engine->put(session, kv_key(tail, key), kv_value(tail, 0));
    start = bench_now_ns();
    for (uint64_t head = 0; head < num; head++, tail++) {
        uint64_t then;
        struct kv_entry e;

        s->engine->put(session, kv_key(tail, key), kv_value(tail, 0));
        then = bench_now_ns();
        if (!s->engine->start(session, KV_FIRST, slice_of(NULL, 0), &e) ||
            !slice_eq(e.key, kv_key(head, expected)))
            bench_die(0, "%s: the wrong record is first", s->engine->name);
        s->engine->stop(session);
        bench_latency_add(&r->latency, bench_now_ns() - then);
        s->engine->remove(session, kv_key(head, key));
    }
    r->seconds = (double)(bench_now_ns() - start) / 1e9;
    r->ops = num;
    s->engine->end(session);
    kv_store_settle(s);
    r->user_bytes = kv_live_bytes(num) + num * KV_KEY;
    r->written_bytes = kv_io_now().written_bytes - before.written_bytes;
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
    } else if (strcmp(work->name, "seekrangedeleted") == 0) {
        seek_range_deleted(s, r);
        r->live_bytes = kv_live_bytes(s->config->num - DELETED - 2 * MARKS);
    } else if (strcmp(work->name, "queue") == 0) {
        queue(s, r);
        r->live_bytes = kv_live_bytes(BACKLOG);
    } else {
        open_killed(s, r);
        r->live_bytes = kv_live_bytes(s->config->num);
    }
    r->peak_memory_bytes = kv_memory_peak_bytes();
    r->anon_memory_bytes = kv_memory_anon_bytes();
    r->disk_bytes = kv_disk_bytes_at_rest(s->path);
}
