/*
 * test_vlog_crash.c - lsm/vlog.h under power loss, under threads, and fed with
 * bytes that no vlog wrote.
 */
#include "env_mem.h"
#include "options_draw.h"
#include "test.h"

#include <stdlib.h>

#include "lsm/names.h"
#include "lsm/vlog.h"

enum { VALUES = 400 };

static uint64_t numbers;

static uint64_t next_number(void *arg)
{
    return __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
}

static struct vlog *open_vlog(struct env *env, const char *dir, uint64_t segment_bytes,
                              enum compression compression)
{
    struct vlog_options o = {
        .env = env,
        .dir = dir,
        .segment_bytes = segment_bytes,
        .compression = compression,
        .next_number = next_number,
    };
    struct vlog *v;

    ck_ok(vlog_open(&o, &v));
    return v;
}

static struct env *new_env(uint64_t seed)
{
    struct env *env = env_mem_new(seed);

    numbers = 0;
    ck_ok(env_mkdir(env, "/d"));
    ck_ok(env_sync_dir(env, "/"));
    return env;
}

/* Value i: random length, runs of equal bytes that compress and noise that does
 * not. */
static void make_value(struct buf *to, uint64_t i)
{
    uint64_t rng = i * 7919 + 1;
    uint64_t len = test_below(&rng, i % 8 ? 6000 : 60000), k;

    buf_clear(to);
    put_le64(to, i);
    for (k = 0; k < len; k++)
        put_u8(to, i % 3 ? (uint8_t)(k >> 6) : (uint8_t)test_random(&rng));
}

static int append(struct vlog *v, uint64_t i, struct vptr *p)
{
    struct buf value = {0};
    int rc;

    make_value(&value, i);
    rc = vlog_append(v, buf_slice(&value), VLOG_AS_OPENED, p);
    buf_release(&value);
    return rc;
}

/* The value, or -EUCLEAN: never other bytes. */
static int read_value(struct vlog *v, uint64_t i, const struct vptr *p)
{
    struct buf want = {0};
    uint8_t *got = malloc(p->len);
    int rc = vlog_read(v, p, 0, p->len, got);

    make_value(&want, i);
    if (rc == 0 && (p->len != want.len || memcmp(got, want.data, want.len) != 0))
        abort();
    buf_release(&want);
    free(got);
    return rc;
}

/* ---- power loss ---- */

struct run {
    struct vptr p[VALUES];
    unsigned appended, synced;
};

/* The two options that a value log has. */
static uint64_t segment_bytes = 50000;
static enum compression codec = COMPRESS_LZ4;

static int append_moved(struct vlog *v, uint64_t i, struct vptr *p)
{
    struct buf value = {0};
    int rc;

    make_value(&value, i);
    rc = vlog_append_moved(v, buf_slice(&value), VLOG_AS_OPENED, p);
    buf_release(&value);
    return rc;
}

static void run(struct env *env, uint64_t seed, struct run *r)
{
    struct vlog *v = open_vlog(env, "/d", segment_bytes, codec);
    uint64_t rng = seed | 1;
    int rc = 0;

    *r = (struct run){0};
    while (r->appended < VALUES && rc == 0) {
        if (test_below(&rng, 20) == 0) {
            rc = vlog_sync(v);
            if (rc == 0)
                rc = vlog_sync_moved(v);
            r->synced = rc == 0 ? r->appended : r->synced;
        } else {
            rc = (r->appended % 3 ? append : append_moved)(v, r->appended,
                                                           &r->p[r->appended]);
            r->appended += rc == 0;
        }
    }
    vlog_close(v); /* its last sync may work: more than promised */
}

static int add_segment(void *arg, const char *name)
{
    struct vlog *v = arg;
    uint64_t number;

    ck_assert_int_eq(file_parse(name, &number), FILE_SEGMENT);
    return vlog_add_segment(v, number, 1 << 20);
}

static void check_after(struct env *after, const struct run *r)
{
    struct vlog *v = open_vlog(after, "/d", segment_bytes, codec);
    unsigned i;

    ck_ok(env_list(after, "/d", add_segment, v));
    for (i = 0; i < r->appended; i++) {
        int rc = vlog_check(v, &r->p[i], true);

        ck_assert(rc == 0 || rc == -EUCLEAN);
        ck_assert_msg(rc == 0 || i >= r->synced, "value %u of %u is lost", i, r->synced);
        if (rc == 0)
            ck_ok(read_value(v, i, &r->p[i]));
        else
            ck_err(read_value(v, i, &r->p[i]), EUCLEAN);
    }
    ck_ok(vlog_close(v));
}

/* At each step-th call. Returns the crashes. */
static unsigned lose_power(uint64_t seed, uint64_t step)
{
    struct env *env = new_env(seed), *after;
    uint64_t calls, n;
    unsigned crashes = 0;
    struct run r;

    run(env, seed, &r);
    ck_assert_uint_eq(r.appended, VALUES);
    calls = env_mem_calls(env);
    env_mem_free(env);
    for (n = seed % step; n < calls; n += step, crashes++) {
        env = new_env(seed);
        env_mem_stop_at(env, n);
        run(env, seed, &r);
        after = env_mem_crash_clone(env, seed + n, ENV_MEM_KEEP_RANDOM);
        check_after(after, &r);
        env_mem_free(after);
        env_mem_free(env);
    }
    return crashes;
}

START_TEST(power_loss_keeps_what_was_synced_and_tells_what_was_not)
{
    test_log_capture();
    lose_power(test_seed(), SOAK_SANITIZED ? 40 : 10);
}
END_TEST

START_TEST(power_loss_under_drawn_options_does_too)
{
    struct soak s;

    test_log_capture();
    for (soak_begin(&s); soak_on(&s); s.option_sets++, s.operations += VALUES) {
        struct lsm_options o;
        char text[OPTIONS_TEXT];

        options_draw(&o, options_seed(soak_seed(&s), 0), 0);
        segment_bytes = o.segment_bytes;
        codec = (enum compression)o.vlog;
        soak_tell(&s, "options: %s", options_text(&o, text));
        s.crashes += lose_power(soak_seed(&s), 97);
    }
    soak_end(&s);
}
END_TEST

/* ---- threads ---- */

struct shared {
    struct vlog *v;
    struct vptr p[3][VALUES]; /* of each writer */
    unsigned appended[3];
    bool stop;
};

struct writer {
    struct shared *s;
    unsigned who;
};

static void *write_loop(void *arg)
{
    struct writer *w = arg;
    struct shared *s = w->s;
    unsigned i;

    for (i = 0; i < VALUES; i++) {
        if (append(s->v, i, &s->p[w->who][i]))
            abort();
        __atomic_store_n(&s->appended[w->who], i + 1, __ATOMIC_RELEASE);
        if (i % 50 == 0 && vlog_sync(s->v))
            abort();
    }
    return NULL;
}

/* Reads anything that was appended; what was deleted meanwhile is -EUCLEAN. */
static void *read_loop(void *arg)
{
    struct shared *s = arg;
    uint64_t rng = 4711;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        unsigned who = (unsigned)test_below(&rng, 3);
        unsigned n = __atomic_load_n(&s->appended[who], __ATOMIC_ACQUIRE);
        unsigned i = (unsigned)test_below(&rng, n);
        int rc = n ? read_value(s->v, i, &s->p[who][i]) : 0;

        if (rc && rc != -EUCLEAN)
            abort();
    }
    return NULL;
}

static int delete_segment(struct vlog *v, uint64_t number)
{
    uint64_t size;
    int rc = vlog_forget_segment(v, number, &size);

    return rc ? rc : vlog_unlink_segment(v, number, size);
}

static void delete_some(struct vlog *v, uint64_t *rng)
{
    struct vlog_segment *list;
    size_t n, i;

    ck_ok(vlog_segments(v, &list, &n));
    for (i = 0; i < n; i++)
        if (test_below(rng, 100) == 0) {
            int rc = delete_segment(v, list[i].number);

            ck_assert(rc == 0 || rc == -EBUSY);
        }
    free(list);
}

static void check_threads(struct env *env, const char *dir)
{
    struct shared *s = calloc(1, sizeof(*s));
    pthread_t readers[2], writers[3];
    struct writer w[3];
    uint64_t rng = test_seed();
    unsigned i;

    s->v = open_vlog(env, dir, 30000, COMPRESS_LZ4);
    for (i = 0; i < 2; i++)
        pthread_create(&readers[i], NULL, read_loop, s);
    for (i = 0; i < 3; i++) {
        w[i] = (struct writer){s, i};
        pthread_create(&writers[i], NULL, write_loop, &w[i]);
    }
    while (__atomic_load_n(&s->appended[0], __ATOMIC_RELAXED) < VALUES)
        delete_some(s->v, &rng);
    for (i = 0; i < 3; i++)
        pthread_join(writers[i], NULL);
    __atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
    for (i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    ck_ok(vlog_sync(s->v));
    ck_assert_uint_eq(vlog_unsynced(s->v), 0);
    ck_ok(vlog_close(s->v));
    free(s);
}

START_TEST(appends_reads_syncs_and_deletes_run_beside_each_other)
{
    struct env *env = new_env(test_seed());

    test_log_capture();
    check_threads(env, "/d");
    env_mem_free(env);
}
END_TEST

START_TEST(appends_reads_syncs_and_deletes_run_beside_each_other_on_disk)
{
    test_log_capture();
    check_threads(env_posix(), test_dir());
}
END_TEST

struct syncing {
    struct vlog *v;
    struct vptr p[300];
    pthread_t thread;
};

static void *append_and_sync(void *arg)
{
    struct syncing *s = arg;
    unsigned i;

    for (i = 0; i < 300; i++)
        if (append(s->v, i, &s->p[i]) || (i % 3 == 2 && vlog_sync(s->v)))
            abort();
    return NULL;
}

/* A sync promises what its own thread appended, also when another's sync did it. */
START_TEST(shared_syncs_cover_every_caller)
{
    struct env *env = new_env(test_seed()), *after;
    struct vlog *v = open_vlog(env, "/d", 7000, COMPRESS_RAW), *again;
    struct syncing *s = calloc(4, sizeof(*s));
    struct vlog_segment *list;
    size_t n;
    unsigned i;

    for (i = 0; i < 4; i++) {
        s[i].v = v;
        pthread_create(&s[i].thread, NULL, append_and_sync, &s[i]);
    }
    for (i = 0; i < 4; i++)
        pthread_join(s[i].thread, NULL);
    ck_assert_uint_eq(vlog_unsynced(v), 0);
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    again = open_vlog(after, "/d", 7000, COMPRESS_RAW);
    ck_ok(vlog_segments(v, &list, &n));
    while (n-- > 0)
        ck_ok(vlog_add_segment(again, list[n].number, list[n].size));
    for (i = 0; i < 4 * 300; i++)
        ck_ok(vlog_check(again, &s[i / 300].p[i % 300], false));
    free(list);
    free(s);
    ck_ok(vlog_close(again));
    env_mem_free(after);
    ck_ok(vlog_close(v));
    env_mem_free(env);
}
END_TEST

static struct vlog *beside_log;
static struct vptr beside_first; /* what the hook appended to the segment under sync */
static unsigned beside_calls;

/* Called in the middle of a sync of a new segment: what other threads may do then. */
static void append_beside(enum env_wait what)
{
    static const uint8_t large[60];
    struct vptr p;
    (void)what;

    switch (++beside_calls) {
    case 2: /* its bytes are synced, its name not: more bytes, and a new segment */
        ck_ok(vlog_append(beside_log, slice_str("more"), VLOG_AS_OPENED, &beside_first));
        ck_ok(
            vlog_append(beside_log, slice_of(large, sizeof(large)), VLOG_AS_OPENED, &p));
        ck_assert_uint_gt(p.segment, beside_first.segment);
        break;
    case 3: /* the new segment is synced: it ends as long as it is */
        ck_ok(
            vlog_append(beside_log, slice_of(large, sizeof(large)), VLOG_AS_OPENED, &p));
        break;
    default:
        break;
    }
}

/* A segment synced whole must not hide an older one that is not. */
START_TEST(bytes_appended_during_a_sync_are_synced_by_the_next)
{
    struct env *env = new_env(test_seed()), *after;
    struct vptr first;

    beside_log = open_vlog(env, "/d", 100, COMPRESS_RAW);
    ck_ok(vlog_append(beside_log, slice_str("first"), VLOG_AS_OPENED, &first));
    env_set_block_hook(append_beside);
    ck_ok(vlog_sync(beside_log));
    env_set_block_hook(NULL);
    ck_assert_uint_eq(beside_first.segment, first.segment);
    ck_assert_uint_ge(vlog_unsynced(beside_log), beside_first.stored);
    ck_ok(vlog_sync(beside_log));
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    ck_assert_uint_eq(env_mem_used(after), env_mem_used(env));
    env_mem_free(after);
    ck_ok(vlog_close(beside_log));
    env_mem_free(env);
}
END_TEST

/* ---- bytes that no vlog wrote ---- */

static void mutate(struct buf *b, uint64_t *rng)
{
    uint64_t n = 1 + test_below(rng, 4), k;

    while (n--) {
        uint64_t at = test_below(rng, b->len);
        uint64_t from = test_below(rng, b->len);
        uint64_t len = test_below(rng, 5000);

        if (len > b->len - at)
            len = b->len - at;
        if (len > b->len - from)
            len = b->len - from;
        if (test_below(rng, 2))
            memmove(b->data + at, b->data + from, len);
        else
            for (k = 0; k < len; k += 1 + test_below(rng, 2000))
                b->data[at + k] ^= (uint8_t)(1 + test_below(rng, 255));
        if (test_below(rng, 10) == 0)
            b->len = (size_t)at + 1;
    }
}

START_TEST(mutated_segments_give_the_value_or_an_error)
{
    uint64_t seed = test_seed(), rng = seed, size;
    struct env *env = new_env(seed);
    struct vlog *v = open_vlog(env, "/d", 1 << 30, COMPRESS_ZSTD);
    struct buf segment = {0}, bad = {0};
    struct vptr p[30];
    unsigned i, k, damaged = 0;

    test_log_capture();
    for (i = 0; i < 30; i++)
        ck_ok(append(v, i, &p[i]));
    ck_ok(vlog_close(v));
    v = open_vlog(env, "/d", 1 << 30, COMPRESS_ZSTD);
    ck_ok(env_stat(env, "/d/000001.vlog", &size));
    ck_ok(vlog_add_segment(v, 1, size));
    ck_ok(env_mem_read(env, "/d/000001.vlog", &segment));
    for (k = 0; k < 300; k++) {
        buf_assign(&bad, buf_slice(&segment));
        mutate(&bad, &rng);
        ck_ok(env_mem_write(env, "/d/000001.vlog", buf_slice(&bad)));
        for (i = 0; i < 30; i++) {
            int rc = read_value(v, i, &p[i]);

            ck_assert(rc == 0 || rc == -EUCLEAN);
            ck_assert_int_eq(vlog_check(v, &p[i], true), rc);
            damaged += rc != 0;
        }
    }
    ck_assert_uint_gt(damaged, 100);
    buf_release(&segment);
    buf_release(&bad);
    ck_ok(vlog_close(v));
    env_mem_free(env);
}
END_TEST

START_TEST(pointers_to_anywhere_give_an_error)
{
    uint64_t seed = test_seed(), rng = seed;
    struct env *env = new_env(seed);
    struct vlog *v = open_vlog(env, "/d", 1 << 30, COMPRESS_LZ4);
    uint8_t *to = malloc(1 << 20);
    struct vptr good, p;
    unsigned i;

    test_log_capture();
    for (i = 0; i < 30; i++)
        ck_ok(append(v, i, &good));
    for (i = 0; i < 20000; i++) {
        unsigned shift = (unsigned)test_below(&rng, 32);

        p = good;
        switch (test_below(&rng, 4)) {
        case 0:
            p.stored ^= 1u << shift;
            break;
        case 1:
            p.raw ^= 1u << shift;
            break;
        case 2:
            p.offset = test_random(&rng) >> test_below(&rng, 64);
            break;
        default:
            p.segment += test_below(&rng, 3);
            p.off = (uint32_t)test_random(&rng) >> shift;
            p.len = (uint32_t)test_random(&rng) >> shift;
        }
        if (memcmp(&p, &good, sizeof(p)) == 0)
            continue;
        if (p.len <= 1 << 20) {
            int rc = vlog_read(v, &p, 0, p.len, to);

            ck_assert(rc == -EUCLEAN || (rc == 0 && p.offset == good.offset));
        }
        vlog_check(v, &p, true);
    }
    free(to);
    ck_ok(vlog_close(v));
    env_mem_free(env);
}
END_TEST

TEST_MAIN("vlog_crash",
          TEST_CASE_ALONE(power_loss_keeps_what_was_synced_and_tells_what_was_not),
          TEST_CASE_SOAK(power_loss_under_drawn_options_does_too),
          TEST_CASE(appends_reads_syncs_and_deletes_run_beside_each_other),
          TEST_CASE(appends_reads_syncs_and_deletes_run_beside_each_other_on_disk),
          TEST_CASE(shared_syncs_cover_every_caller),
          TEST_CASE(bytes_appended_during_a_sync_are_synced_by_the_next),
          TEST_CASE_ALONE(mutated_segments_give_the_value_or_an_error),
          TEST_CASE_ALONE(pointers_to_anywhere_give_an_error))
