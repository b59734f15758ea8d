/*
 * test_wal_crash.c - lsm/wal.h under power loss, under threads, and fed with
 * bytes that no wal wrote.
 */
#include "env_mem.h"
#include "test.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsm/wal.h"

enum { NUMBER = 12, PREALLOCATE = 30000 };

static const char path[] = "/d/000012.log";

/* Payload i (from 1) of generation g: random length, and content that tells. */
static void make_payload(struct buf *to, uint64_t i, uint64_t g)
{
    uint64_t rng = i * 7919 + g * 104729 + 1;
    uint64_t len = test_below(&rng, i % 10 ? 300 : 6000), k;

    buf_clear(to);
    put_le64(to, i);
    put_le64(to, g);
    for (k = 0; k < len; k++)
        put_u8(to, (uint8_t)test_random(&rng));
}

static int create(struct env *env, uint64_t number, bool reuse, struct wal **w)
{
    struct wal_create c = {
        .env = env,
        .path = path,
        .number = number,
        .preallocate = PREALLOCATE,
        .reuse = reuse,
    };

    return wal_create(&c, w);
}

struct checking {
    uint64_t n; /* payloads that came, in order */
    uint64_t generation;
};

static int check_payload(void *arg, struct slice payload, uint64_t end)
{
    struct checking *c = arg;
    struct buf want = {0};

    make_payload(&want, ++c->n, c->generation);
    ck_assert(slice_eq(payload, buf_slice(&want)));
    buf_release(&want);
    return 0;
}

/* ---- power loss ---- */

/* How far a run came before it ended. */
struct promised {
    bool named;        /* the name is durable */
    uint64_t appended; /* payloads acknowledged */
    uint64_t synced;   /* of them, synced */
};

static struct promised run(struct env *env, uint64_t number, bool reuse, uint64_t seed,
                           unsigned steps)
{
    struct promised p = {.named = reuse};
    struct buf payload = {0};
    uint64_t rng = seed | 1, end;
    struct wal *w;
    unsigned i;
    int rc = create(env, number, reuse, &w);

    if (rc)
        return p;
    p.named |= env_sync_dir(env, "/d") == 0;
    for (i = 0; i < steps && rc == 0; i++) {
        if (test_below(&rng, 5) == 0) {
            rc = wal_sync(w);
            if (rc == 0)
                p.synced = p.appended;
            continue;
        }
        make_payload(&payload, p.appended + 1, number);
        rc = wal_append(w, &(struct slice){payload.data, payload.len}, 1, &end);
        if (rc == 0)
            p.appended++;
    }
    wal_close(w, false);
    buf_release(&payload);
    return p;
}

static void check_after(struct env *env, uint64_t number, const struct promised *p)
{
    struct checking c = {.generation = number};
    struct wal_replay r = {.number = number};
    int rc = wal_replay(env, path, &r, check_payload, &c);

    if (rc == -ENOENT && !p->named)
        return;
    ck_ok(rc);
    ck_assert_uint_ge(c.n, p->synced);
    ck_assert_uint_le(c.n, p->appended + 1); /* +1: written, but not acknowledged */
    ck_assert_uint_le(r.synced, r.length);
}

static void check_crashes(struct env *env, uint64_t number, const struct promised *p,
                          uint64_t seed)
{
    unsigned i;

    for (i = 0; i < 3; i++) {
        struct env *after = env_mem_crash_clone(env, seed + i, ENV_MEM_KEEP_RANDOM);

        check_after(after, number, p);
        env_mem_free(after);
    }
}

static struct env *new_env(uint64_t seed)
{
    struct env *env = env_mem_new(seed);

    ck_ok(env_mkdir(env, "/d"));
    ck_ok(env_sync_dir(env, "/"));
    return env;
}

START_TEST(power_loss_after_every_call_keeps_a_prefix_with_all_that_was_synced)
{
    uint64_t seed = test_seed(), n, calls;
    struct env *env = new_env(seed);

    test_log_capture();
    run(env, NUMBER, false, seed, 60);
    calls = env_mem_calls(env);
    env_mem_free(env);
    for (n = 0; n < calls; n++) {
        struct promised p;

        env = new_env(seed);
        env_mem_stop_at(env, n);
        p = run(env, NUMBER, false, seed, 60);
        check_crashes(env, NUMBER, &p, seed + n);
        env_mem_free(env);
    }
}
END_TEST

START_TEST(power_loss_in_a_recycled_log_never_brings_old_frames_back)
{
    uint64_t seed = test_seed(), round;

    test_log_capture();
    for (round = 0; round < 60; round++) {
        struct env *env = new_env(seed + round);
        struct promised p;
        unsigned generation;

        run(env, NUMBER, false, seed + round, 100);
        for (generation = 1; generation <= 3; generation++) {
            p = run(env, NUMBER + generation, true, seed + round * 10 + generation,
                    generation * 20);
            check_crashes(env, NUMBER + generation, &p, seed + round);
        }
        env_mem_free(env);
    }
}
END_TEST

START_TEST(process_death_loses_nothing_acknowledged)
{
    uint64_t seed = test_seed();
    struct env *env = new_env(seed), *after;
    struct promised p = run(env, NUMBER, false, seed, 200);

    after = env_mem_crash_clone(env, 1, ENV_MEM_KEEP_ALL);
    p.synced = p.appended;
    check_after(after, NUMBER, &p);
    env_mem_free(after);
    env_mem_free(env);
}
END_TEST

/* Appends to a mapped log, tells each through the pipe, and is killed. */
static void append_for_ever(const char *file, int to)
{
    struct wal_create how = {
        .env = env_posix(), .path = file, .number = NUMBER, .preallocate = 1 << 20};
    struct buf payload = {0};
    struct wal *w;
    uint64_t i, end;

    if (wal_create(&how, &w))
        _exit(1);
    for (i = 1;; i++) {
        make_payload(&payload, i, NUMBER);
        if (wal_append(w, &(struct slice){payload.data, payload.len}, 1, &end) ||
            write(to, &i, sizeof(i)) != sizeof(i))
            _exit(1);
    }
}

START_TEST(killed_process_loses_nothing_acknowledged_on_disk)
{
    struct checking c = {.generation = NUMBER};
    struct wal_replay r = {.number = NUMBER};
    uint64_t told = 0, i;
    char file[100];
    int fd[2], status;
    pid_t pid;

    snprintf(file, sizeof(file), "%s/12.log", test_dir());
    ck_assert(pipe(fd) == 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        append_for_ever(file, fd[1]);
    close(fd[1]);
    while (told < 5000 && read(fd[0], &i, sizeof(i)) == sizeof(i))
        told = i;
    ck_assert(kill(pid, SIGKILL) == 0);
    while (read(fd[0], &i, sizeof(i)) == sizeof(i))
        told = i;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_ok(wal_replay(env_posix(), file, &r, check_payload, &c));
    ck_assert_uint_ge(c.n, told);
    ck_assert_uint_le(c.n, told + 1);
    close(fd[0]);
}
END_TEST

/* ---- threads ---- */

struct shared {
    struct wal *w;
    bool stop;
    uint64_t appended; /* payloads, told before they are known to the syncer */
    uint64_t synced;   /* payloads that a sync began after */
    unsigned syncs;
};

static void *sync_loop(void *arg)
{
    struct shared *s = arg;

    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        uint64_t n = __atomic_load_n(&s->appended, __ATOMIC_ACQUIRE);

        if (wal_sync(s->w))
            abort();
        __atomic_store_n(&s->synced, n, __ATOMIC_RELEASE);
        s->syncs++;
    }
    return NULL;
}

static void check_beside(struct env *env)
{
    struct shared s = {0};
    struct buf payload = {0};
    struct promised p = {.named = true};
    struct env *after = env;
    pthread_t syncer;
    uint64_t i, end;

    ck_ok(create(env, NUMBER, false, &s.w));
    ck_ok(env_sync_dir(env, "/d"));
    pthread_create(&syncer, NULL, sync_loop, &s);
    for (i = 1; i <= 2000; i++) {
        make_payload(&payload, i, NUMBER);
        ck_ok(wal_append(s.w, &(struct slice){payload.data, payload.len}, 1, &end));
        __atomic_store_n(&s.appended, i, __ATOMIC_RELEASE);
        p.appended = i;
        if (i == 100)
            ck_soon(__atomic_load_n(&s.synced, __ATOMIC_ACQUIRE)); /* it has begun */
        if (i % 100 == 0) {
            p.synced = __atomic_load_n(&s.synced, __ATOMIC_ACQUIRE);
            after = env_mem_crash_clone(env, i, ENV_MEM_KEEP_RANDOM);
            check_after(after, NUMBER, &p);
            env_mem_free(after);
        }
    }
    __atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
    pthread_join(syncer, NULL);
    ck_assert_uint_gt(s.syncs, 0);
    ck_ok(wal_close(s.w, true));
    p.synced = 2000;
    check_after(env, NUMBER, &p);
    buf_release(&payload);
}

START_TEST(sync_runs_beside_append)
{
    struct env *env = new_env(test_seed());

    check_beside(env);
    env_mem_free(env);
}
END_TEST

/* On a disk, mapped. */
START_TEST(sync_runs_beside_append_on_disk)
{
    struct shared s = {0};
    struct checking c = {.generation = NUMBER};
    struct wal_replay r = {.number = NUMBER};
    struct wal_create how = {
        .env = env_posix(), .number = NUMBER, .preallocate = 6 << 20};
    struct buf payload = {0};
    char file[100];
    pthread_t syncer;
    uint64_t i, end;

    snprintf(file, sizeof(file), "%s/12.log", test_dir());
    how.path = file;
    ck_ok(wal_create(&how, &s.w));
    pthread_create(&syncer, NULL, sync_loop, &s);
    for (i = 1; i <= 10000; i++) {
        make_payload(&payload, i, NUMBER);
        ck_ok(wal_append(s.w, &(struct slice){payload.data, payload.len}, 1, &end));
    }
    __atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
    pthread_join(syncer, NULL);
    ck_ok(wal_close(s.w, true));
    ck_ok(wal_replay(env_posix(), file, &r, check_payload, &c));
    ck_assert_uint_eq(c.n, 10000);
    ck_assert(!r.torn);
    ck_assert_uint_eq(r.length, end);
    buf_release(&payload);
}
END_TEST

/* ---- bytes that no wal wrote ---- */

static void mutate(struct buf *log, uint64_t *rng)
{
    uint64_t n = 1 + test_below(rng, 4), k;

    while (n--) {
        uint64_t at = test_below(rng, log->len);
        uint64_t len = test_below(rng, 60);
        uint64_t from = test_below(rng, log->len);

        if (len > log->len - at)
            len = log->len - at;
        if (len > log->len - from)
            len = log->len - from;
        switch (test_below(rng, 5)) {
        case 0:
            log->data[at] ^= (uint8_t)(1 + test_below(rng, 255));
            break;
        case 1:
            for (k = 0; k < len; k++)
                log->data[at + k] = (uint8_t)test_random(rng);
            break;
        case 2:
            memmove(log->data + at, log->data + from, len);
            break;
        case 3:
            memset(log->data + at, 0, len);
            break;
        default:
            log->len = (size_t)at + 1;
        }
    }
}

/* A prefix of what was written, or -EUCLEAN; never anything else. */
START_TEST(mutated_logs_give_a_prefix_or_an_error)
{
    uint64_t seed = test_seed(), rng = seed;
    struct env *env = new_env(seed);
    struct buf log = {0}, bad = {0};
    unsigned i, damaged = 0;

    test_log_capture();
    run(env, NUMBER, false, seed, 80);
    ck_ok(env_mem_read(env, path, &log));
    for (i = 0; i < 3000; i++) {
        struct checking c = {.generation = NUMBER};
        struct wal_replay r = {.number = NUMBER};
        int rc;

        buf_assign(&bad, buf_slice(&log));
        mutate(&bad, &rng);
        ck_ok(env_mem_write(env, path, buf_slice(&bad)));
        rc = wal_replay(env, path, &r, check_payload, &c);
        ck_assert(rc == 0 || rc == -EUCLEAN);
        ck_assert_uint_le(r.length + r.torn_bytes, bad.len);
        damaged += rc != 0;
    }
    ck_assert_uint_gt(damaged, 10);
    buf_release(&log);
    buf_release(&bad);
    env_mem_free(env);
}
END_TEST

TEST_MAIN(
    "wal_crash",
    TEST_CASE_ALONE(power_loss_after_every_call_keeps_a_prefix_with_all_that_was_synced),
    TEST_CASE_ALONE(power_loss_in_a_recycled_log_never_brings_old_frames_back),
    TEST_CASE_ALONE(process_death_loses_nothing_acknowledged),
    TEST_CASE_ALONE(killed_process_loses_nothing_acknowledged_on_disk),
    TEST_CASE(sync_runs_beside_append), TEST_CASE(sync_runs_beside_append_on_disk),
    TEST_CASE_ALONE(mutated_logs_give_a_prefix_or_an_error))
