/*
 * kv_run.c - fill a store, let threads loose on it, and measure what it takes.
 *
 * Threads are made and have their sessions before the clock starts; all start
 * together, and the clock stops when the last one is done. What the engine still
 * has to write then counts for the bytes written, not for the time.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "kv_data.h"
#include "kv_measure.h"
#include "kv_run.h"

enum { FILL_BATCH = 100 };

/* ---- stores ---- */

void kv_store_new(struct kv_store *s)
{
    kv_remove_dir(s->path);
    s->db = s->engine->open(s->config, s->path);
    s->value_bytes = s->config->value_bytes;
}

/* Small batches: large values would make them larger than a memtable. */
void kv_store_fill(struct kv_store *s)
{
    const uint64_t num = s->config->num;
    const size_t most =
        s->config->value_bytes && s->config->value_bytes <= 4096 ? FILL_BATCH : 4;
    struct kv_entry e[FILL_BATCH];
    uint8_t keys[FILL_BATCH][KV_KEY];
    void *session = s->engine->session(s->db);
    size_t n = 0;

    for (uint64_t i = 0; i < num; i++) {
        uint64_t record = kv_shuffled(i, num);

        e[n].key = kv_key(record, keys[n]);
        e[n].value = kv_value(record, 0);
        if (++n == most || i + 1 == num) {
            s->engine->put_many(session, e, n);
            n = 0;
        }
    }
    s->engine->end(session);
}

/* What the kernel has to write back is not to disturb what comes. */
static void write_back(const struct kv_store *s)
{
    int fd = open(s->path, O_RDONLY | O_DIRECTORY);

    if (fd < 0 || syncfs(fd))
        bench_die(-errno, "%s", s->path);
    close(fd);
}

void kv_store_settle(struct kv_store *s)
{
    s->engine->settle(s->db);
    write_back(s);
}

/* What the cache holds is in it from the first operation on, whatever workload comes
 * first: blocks that are read and unpacked only then are no figure of cached reads. */
void kv_store_warm(struct kv_store *s)
{
    void *session = s->engine->session(s->db);
    struct kv_entry e;
    bool valid = s->engine->start(session, KV_FIRST, slice_of(NULL, 0), &e);

    while (valid)
        valid = s->engine->next(session, &e);
    s->engine->stop(session);
    s->engine->end(session);
}

void kv_store_drop(struct kv_store *s)
{
    if (s->db)
        s->engine->close(s->db);
    s->db = NULL;
    kv_remove_dir(s->path);
}

/* ---- threads ---- */

struct crew {
    const struct kv_workload *work;
    const struct kv_config *config;
    pthread_barrier_t ready; /* the workers and the one who waits */
    atomic_bool over;        /* for who works beside */
};

struct member {
    struct kv_worker worker;
    struct crew *crew;
    bool beside;
    uint64_t from, to; /* operations */
    uint64_t done;
    uint64_t started_ns, ended_ns;
    pthread_t thread;
};

static void keep_time(struct member *m, uint64_t ns, uint64_t count)
{
    struct kv_worker *w = &m->worker;

    bench_latency_add(w->wrote ? &w->writes : &w->reads, ns / (count ? count : 1));
}

/* Where every operation is timed, the end of one is the start of the next. */
static void work(struct member *m)
{
    const struct kv_workload *work = m->crew->work;
    const double seconds = m->crew->config->seconds;
    uint64_t start = bench_now_ns(), now = start, last, count;
    uint64_t deadline = seconds > 0 ? start + (uint64_t)(seconds * 1e9) : 0;

    for (uint64_t i = m->from, n = 0; deadline ? now < deadline : i < m->to; n++) {
        bool timed = n % work->sample == 0;

        last = timed && work->sample > 1 ? bench_now_ns() : now;
        count = work->op(&m->worker, i);
        i += count;
        m->done += count;
        if (timed) {
            now = bench_now_ns();
            keep_time(m, now - last, count);
        }
    }
    if (work->finish)
        work->finish(&m->worker);
}

/* In bursts of a millisecond, until the others are done. */
static void work_beside(struct member *m)
{
    const uint64_t burst = KV_BESIDE_RATE / 1000;
    uint64_t due = bench_now_ns();

    while (!atomic_load(&m->crew->over)) {
        uint64_t last = bench_now_ns(), now;

        for (uint64_t i = 0; i < burst; i++, last = now) {
            m->crew->work->beside(&m->worker, m->done++);
            now = bench_now_ns();
            keep_time(m, now - last, 1);
        }
        due += 1000000;
        if (due > last)
            usleep((useconds_t)((due - last) / 1000));
        else
            due = last; /* cannot keep up: what was missed is not made up for */
    }
}

static void *member_main(void *arg)
{
    struct member *m = arg;

    pthread_barrier_wait(&m->crew->ready);
    m->started_ns = bench_now_ns();
    if (m->beside)
        work_beside(m);
    else
        work(m);
    m->ended_ns = bench_now_ns();
    return NULL;
}

static void enlist(struct member *m, struct crew *crew, struct kv_store *s, unsigned i)
{
    const struct kv_config *c = s->config;

    m->crew = crew;
    m->beside = i == c->threads;
    m->from = c->ops * i / c->threads;
    m->to = c->ops * (i + 1) / c->threads;
    m->worker.engine = s->engine;
    m->worker.config = c;
    m->worker.session = s->engine->session(s->db);
    m->worker.random = 20 + i;
    if (pthread_create(&m->thread, NULL, member_main, m))
        bench_die(-EAGAIN, "thread");
}

/* What a member did, into the result. */
static void discharge(struct member *m, struct kv_store *s, struct kv_result *r)
{
    struct kv_worker *w = &m->worker;

    s->engine->end(w->session);
    r->user_bytes += w->user_bytes;
    if ((double)w->writes.max_ns / 1e6 > r->stall_ms)
        r->stall_ms = (double)w->writes.max_ns / 1e6;
    if (m->beside) {
        kv_result_extra(r, "beside_ops_per_s", (double)m->done / r->seconds);
        return;
    }
    r->ops += m->done;
    bench_latency_merge(&r->latency, &w->reads);
    bench_latency_merge(&r->latency, &w->writes);
}

/* From the first start to the last end. Not by the clock of the one who waits: it may
 * well be the last to be woken. */
static double seconds_of(const struct member *m, unsigned n)
{
    uint64_t from = m[0].started_ns, to = m[0].ended_ns;

    for (unsigned i = 1; i < n; i++) {
        from = m[i].started_ns < from ? m[i].started_ns : from;
        to = m[i].ended_ns > to ? m[i].ended_ns : to;
    }
    return (double)(to - from) / 1e9;
}

static void run_threads(struct kv_store *s, const struct kv_workload *work,
                        struct kv_result *r)
{
    const unsigned threads = s->config->threads, all = threads + (work->beside ? 1 : 0);
    struct crew crew = {.work = work, .config = s->config};
    struct member *m = calloc(all, sizeof(*m));

    if (!m)
        bench_die(-ENOMEM, "threads");
    pthread_barrier_init(&crew.ready, NULL, all + 1);
    for (unsigned i = 0; i < all; i++)
        enlist(&m[i], &crew, s, i);
    pthread_barrier_wait(&crew.ready);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(m[i].thread, NULL);
    r->seconds = seconds_of(m, threads);
    atomic_store(&crew.over, true);
    if (all > threads)
        pthread_join(m[threads].thread, NULL);
    for (unsigned i = 0; i < all; i++)
        discharge(&m[i], s, r);
    pthread_barrier_destroy(&crew.ready);
    free(m);
}

/* ---- measuring ---- */

static uint64_t live_at_end(const struct kv_workload *work, const struct kv_result *r)
{
    uint64_t num = r->config.num;

    if (strcmp(work->name, "deleterandom") == 0)
        return r->ops < num ? kv_live_bytes(num) / num * (num - r->ops) : 0;
    return kv_live_bytes(work->before == KV_EMPTY && r->ops < num ? r->ops : num);
}

void kv_run(struct kv_store *s, const struct kv_workload *work, struct kv_result *r)
{
    struct kv_watch *watch = work->changes ? kv_watch_start(s->path) : NULL;
    struct kv_io before = kv_io_now(), after;
    uint64_t start;

    kv_memory_reset();
    run_threads(s, work, r);
    r->anon_memory_bytes = kv_memory_anon_bytes();
    start = bench_now_ns();
    if (work->changes)
        s->engine->settle(s->db);
    r->settle_seconds = (double)(bench_now_ns() - start) / 1e9;
    after = kv_io_now();
    r->written_bytes = after.written_bytes - before.written_bytes;
    r->cancelled_bytes = after.cancelled_bytes - before.cancelled_bytes;
    r->peak_memory_bytes = kv_memory_peak_bytes();
    r->live_bytes = live_at_end(work, r);
    r->disk_bytes = kv_disk_bytes_at_rest(s->path);
    r->peak_disk_bytes = watch ? kv_watch_stop(watch) : r->disk_bytes;
}
