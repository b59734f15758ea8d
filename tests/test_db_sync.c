/*
 * test_db_sync.c - lsm/db_sync.c: large values travel in the log while syncs are near,
 * are separated by the flush, and are as good there as anywhere; who syncs, waiting for
 * it or not, is told the truth. Crashes at every call: test_power.c, test_vlog_crash.c.
 */
#include "tests/env_count.h"
#include "tests/env_mem.h"
#include "tests/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { LARGE = 8 << 10, NEAR = 128 << 10, REQUESTS = 50, THREADS = 6 };

static struct env *env;
static struct lsm *db;

static void open_with(unsigned workers)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = workers;
    o.sync_interval_ms = 0;
    o.vlog = LSM_RAW;
    ck_ok(lsm_open("/s", &o, &db));
}

static void open_store(void)
{
    open_with(0);
}

static void setup(void)
{
    env = env_mem_new(test_seed());
    open_store();
}

static void teardown(void)
{
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}

/* Key i, and its value, LARGE bytes that tell i. */
static struct slice key_of(int i)
{
    static char text[2][16];
    static unsigned next;
    char *to = text[next++ % 2];

    snprintf(to, sizeof(text[0]), "k%06d", i);
    return slice_str(to);
}

static struct slice value_of(int i)
{
    static uint8_t bytes[LARGE];
    uint64_t rng = (uint64_t)i + 1;

    for (size_t at = 0; at < LARGE; at += 8)
        store_le64(bytes + at, test_random(&rng));
    return slice_of(bytes, LARGE);
}

static void put(int i)
{
    ck_ok(lsm_put(db, key_of(i), value_of(i)));
}

static void put_synced(int i)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_put(b, key_of(i), value_of(i));
    ck_ok(lsm_write(db, b, LSM_SYNC));
    lsm_batch_free(b);
}

static void check(int key, struct slice want)
{
    struct lsm_value v = {0};

    ck_ok(lsm_get(db, NULL, key_of(key), &v));
    ck_assert(slice_eq(v.value, want));
    lsm_value_release(&v);
}

/* Values that were written to the value log. */
static uint64_t separated(void)
{
    struct lsm_stats s;

    lsm_get_stats(db, &s);
    return s.vlog_written_bytes / LARGE;
}

START_TEST(values_travel_in_the_log_while_syncs_are_near)
{
    int i;

    setup();
    put(0); /* nobody knows yet */
    ck_assert_uint_eq(separated(), 1);
    for (i = 1; i < 20; i++) {
        ck_ok(lsm_sync(db));
        put(i);
    }
    ck_assert_uint_eq(separated(), 1);
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    teardown();
}
END_TEST

START_TEST(a_value_that_is_to_be_synced_at_once_travels_in_the_log)
{
    setup();
    put_synced(0);
    ck_assert_uint_eq(separated(), 0);
    check(0, value_of(0));
    teardown();
}
END_TEST

START_TEST(between_rare_syncs_values_are_separated)
{
    int i;

    setup();
    ck_ok(lsm_sync(db));
    for (i = 0; i < 100; i++)
        put(i);
    ck_assert_uint_ge(separated(), 100 - NEAR / LARGE);
    ck_ok(lsm_sync(db)); /* it was not near, so the next one is not either */
    put(100);
    ck_assert_uint_ge(separated(), 101 - NEAR / LARGE);
    teardown();
}
END_TEST

START_TEST(the_flush_separates_what_came_in_the_log)
{
    struct lsm_stats s;
    int i;

    setup();
    for (i = 0; i < 20; i++)
        put_synced(i);
    ck_ok(lsm_flush(db));
    ck_assert_uint_eq(separated(), 20);
    lsm_get_stats(db, &s);
    ck_assert_uint_ge(s.segment_live, 20 * LARGE);
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    put_synced(7); /* overwritten in the memtable: the flush sees the newest alone */
    put_synced(7);
    ck_ok(lsm_flush(db));
    ck_assert_uint_eq(separated(), 21);
    check(7, value_of(7));
    teardown();
}
END_TEST

START_TEST(a_part_of_a_value_in_the_log_is_shared)
{
    struct lsm_batch *b = lsm_batch_new();
    int i;

    setup();
    put_synced(0);
    lsm_batch_share(b, key_of(1), key_of(0), 1000, 5000);
    lsm_batch_share(b, key_of(2), key_of(0), 1000, 50);
    ck_ok(lsm_write(db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    for (i = 0; i < 2; i++) {
        struct slice whole = value_of(0);

        check(1, slice_of(whole.data + 1000, 5000));
        check(2, slice_of(whole.data + 1000, 50));
        ck_ok(lsm_flush(db));
    }
    teardown();
}
END_TEST

START_TEST(a_value_synced_in_the_log_survives_power_loss)
{
    struct env *after;
    int i;

    setup();
    for (i = 0; i < 20; i++)
        put_synced(i);
    after = env_mem_crash_clone(env, test_seed(), ENV_MEM_LOSE_UNSYNCED);
    teardown();
    env = after;
    open_store();
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    ck_ok(lsm_flush(db));
    ck_assert_uint_eq(separated(), 20);
    for (i = 0; i < 20; i++)
        check(i, value_of(i));
    teardown();
}
END_TEST

/* So many batches, then a sync; at which of them was the disk told to begin? 0: none. */
static unsigned begun_at(struct env_count *c, unsigned n)
{
    unsigned before = atomic_load(&c->writebacks), at = 0;

    for (unsigned i = 1; i <= n; i++) {
        ck_ok(lsm_put(db, key_of((int)i), slice_str("little")));
        if (!at && atomic_load(&c->writebacks) != before)
            at = i;
    }
    ck_assert_uint_le(atomic_load(&c->writebacks), before + 1);
    ck_ok(lsm_sync(db));
    return at;
}

START_TEST(the_disk_begins_when_as_much_is_written_as_before_the_last_sync)
{
    struct env *mem = env_mem_new(test_seed());
    struct env_count counts;

    env_count_init(&counts, mem);
    env = &counts.base;
    open_store();
    ck_assert_uint_eq(begun_at(&counts, 1), 0); /* nobody knows yet */
    ck_assert_uint_eq(begun_at(&counts, 1), 1);
    ck_assert_uint_eq(begun_at(&counts, 3), 1);
    ck_assert_uint_eq(begun_at(&counts, 3), 3);
    ck_assert_uint_eq(begun_at(&counts, 2), 0);
    ck_ok(lsm_sync(db)); /* of nothing */
    ck_assert_uint_eq(begun_at(&counts, 1), 0);
    put_synced(1); /* its sync is there already */
    put_synced(1);
    ck_assert_uint_eq(atomic_load(&counts.writebacks), 3);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(mem);
}
END_TEST

static unsigned begins; /* times that others wrote while the disk began */
static pthread_t flusher;

static void *flush(void *arg)
{
    ck_ok(lsm_flush(db));
    return NULL;
}

static bool has_flushed(void)
{
    struct lsm_stats s;

    lsm_get_stats(db, &s);
    return s.flushes > 0;
}

/* The disk has so much to do that others write meanwhile; and flush, so that the log is
 * not needed any more. */
static void write_beside(void)
{
    if (begins++)
        return;
    ck_ok(lsm_put(db, slice_str("beside"), slice_str("it")));
    ck_assert_int_eq(pthread_create(&flusher, NULL, flush, NULL), 0);
    ck_soon(has_flushed());
}

START_TEST(while_the_disk_begins_others_write_and_the_log_stays)
{
    struct env *mem = env_mem_new(test_seed());
    struct lsm_value v = {0};
    struct env_count counts;

    env_count_init(&counts, mem);
    env = &counts.base;
    open_store();
    begun_at(&counts, 1);
    counts.writes_back = write_beside;
    begins = 0;
    ck_ok(lsm_put(db, key_of(1), slice_str("begins")));
    ck_assert_uint_eq(begins, 1);
    ck_assert_int_eq(pthread_join(flusher, NULL), 0);
    ck_ok(lsm_sync(db));
    ck_ok(lsm_get(db, NULL, slice_str("beside"), &v));
    lsm_value_release(&v);
    ck_ok(lsm_close(db));
    env_mem_free(mem);
}
END_TEST

/* ---- later ---- */

/* The store after power loss, in place of what is there. */
static void lose_power(void)
{
    struct env *after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);

    after->appends_in_memory = env->appends_in_memory;
    ck_ok(lsm_close(db));
    env_mem_free(env);
    env = after;
    open_store();
}

static void put_later(int i)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_put(b, key_of(i), value_of(i));
    ck_ok(lsm_write(db, b, LSM_LATER));
    lsm_batch_free(b);
    check(i, value_of(i));
}

static uint64_t syncs(void)
{
    struct lsm_stats s;

    lsm_get_stats(db, &s);
    return s.syncs;
}

START_TEST(where_appends_are_in_memory_what_was_written_later_is_stored_by_settling)
{
    uint64_t before;
    struct lsm_value v = {0};

    env = env_mem_new(test_seed());
    env->appends_in_memory = true;
    open_store();
    put(0); /* stored at once */
    before = syncs();
    put_later(1);
    put_later(2);
    ck_assert_uint_eq(syncs(), before);
    ck_ok(lsm_settle(db));
    ck_ok(lsm_settle(db)); /* of nothing */
    ck_assert_uint_eq(syncs(), before + 1);
    put_later(3);
    lose_power();
    check(0, value_of(0));
    check(1, value_of(1));
    check(2, value_of(2));
    ck_err(lsm_get(db, NULL, key_of(3), &v), ENOENT);
    teardown();
}
END_TEST

START_TEST(settling_tells_that_what_was_written_later_could_not_be_stored)
{
    env = env_mem_new(test_seed());
    env->appends_in_memory = true;
    open_store();
    put_later(0);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(lsm_settle(db), EIO);
    ck_err(lsm_settle(db), EIO);
    ck_err(lsm_close(db), EIO);
    env_mem_free(env);
}
END_TEST

START_TEST(in_a_directory_settling_waits_for_nothing)
{
    uint64_t before;

    setup();
    before = syncs();
    put_later(0);
    ck_ok(lsm_settle(db));
    ck_assert_uint_eq(syncs(), before);
    teardown();
}
END_TEST

/* ---- without waiting ---- */

struct asked {
    struct lsm_sync_request r;
    struct env *after; /* power loss when it was answered */
    int number, rc;
    _Atomic unsigned answers;
};

static void answered(struct lsm_sync_request *r, int rc)
{
    struct asked *a = (struct asked *)r;

    if (a->number % 10 == 9)
        a->after = env_mem_crash_clone(env, test_seed(), ENV_MEM_LOSE_UNSYNCED);
    a->rc = rc;
    atomic_fetch_add(&a->answers, 1);
}

/* Put, ask, and go on. */
static void put_and_ask(struct asked *a, int first, int n)
{
    for (int i = first; i < first + n; i++) {
        a[i] = (struct asked){.r.done = answered, .number = i};
        put(i);
        lsm_sync_notify(db, &a[i].r);
    }
}

static void wait_for(struct asked *a, int n)
{
    for (int i = 0; i < n; i++)
        while (!atomic_load(&a[i].answers))
            sched_yield();
}

static void check_answered(struct asked *a, int n)
{
    for (int i = 0; i < n; i++) {
        ck_assert_uint_eq(a[i].answers, 1);
        ck_ok(a[i].rc);
        if (!a[i].after)
            continue;
        env = a[i].after;
        open_store();
        for (int k = 0; k <= i; k++)
            check(k, value_of(k));
        teardown();
    }
}

static void ask_many(unsigned workers)
{
    struct asked a[REQUESTS];

    env = env_mem_new(test_seed());
    open_with(workers);
    put_and_ask(a, 0, REQUESTS);
    wait_for(a, REQUESTS);
    teardown();
    check_answered(a, REQUESTS);
}

START_TEST(who_does_not_wait_is_told_once_and_after_it_is_durable)
{
    ask_many(1);
    ask_many(0); /* nobody else does it: told before the call returns */
}
END_TEST

START_TEST(closing_answers_who_is_left)
{
    struct asked a[REQUESTS];

    env = env_mem_new(test_seed());
    open_with(1);
    put_and_ask(a, 0, REQUESTS);
    ck_ok(lsm_close(db));
    for (int i = 0; i < REQUESTS; i++)
        ck_assert_uint_eq(a[i].answers, 1);
    env_mem_free(env);
    check_answered(a, REQUESTS);
}
END_TEST

START_TEST(after_a_failed_sync_nobody_is_told_that_it_is_durable)
{
    struct asked a[REQUESTS];
    int i, failed = 0;

    env = env_mem_new(test_seed());
    open_with(1);
    put_and_ask(a, 0, 9);
    wait_for(a, 9);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    for (i = 9; i < REQUESTS; i++) {
        a[i] = (struct asked){.r.done = answered}; /* 0: no copy is made */
        if (lsm_put(db, key_of(i), value_of(i)) == 0)
            failed = i;
        lsm_sync_notify(db, &a[i].r);
    }
    wait_for(a, REQUESTS);
    for (i = 9; i < REQUESTS; i++) {
        ck_assert_uint_eq(a[i].answers, 1);
        ck_assert_int_ne(a[i].rc, 0);
    }
    ck_assert_int_ge(failed, 9);
    ck_assert_int_ne(lsm_sync(db), 0);
    (void)lsm_close(db);
    env_mem_free(env);
}
END_TEST

/* ---- many who wait ---- */

static _Atomic bool stop;
static _Atomic unsigned synced;

static void *sync_on(void *arg)
{
    int n = *(int *)arg * 1000000 % 999983;

    for (; !atomic_load(&stop); n++) {
        struct lsm_batch *b = lsm_batch_new();
        char key[16];

        snprintf(key, sizeof(key), "t%07d", n % 1000);
        lsm_batch_put(b, slice_str(key), slice_str("value"));
        if (lsm_write(db, b, n % 3 ? LSM_SYNC : LSM_NOSYNC) ||
            (n % 7 == 0 && lsm_sync(db)))
            abort();
        lsm_batch_free(b);
        atomic_fetch_add(&synced, 1);
    }
    return NULL;
}

/* A flush drops the log, for which it waits until no sync uses it. */
START_TEST(a_flush_ends_beside_threads_that_sync_without_pause)
{
    int number[THREADS], i;
    pthread_t thread[THREADS];

    env = env_mem_new(test_seed());
    open_with(1);
    atomic_store(&stop, false);
    atomic_store(&synced, 0);
    for (i = 0; i < THREADS; i++) {
        number[i] = i;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, sync_on, &number[i]), 0);
    }
    for (i = 0; i < 20; i++) {
        unsigned before = atomic_load(&synced);

        put(i);
        ck_ok(lsm_flush(db));
        while (atomic_load(&synced) < before + THREADS)
            sched_yield();
    }
    atomic_store(&stop, true);
    for (i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    teardown();
}
END_TEST

/* ---- an error of another's, meanwhile ---- */

enum { NOBODY, FIRST, SECOND };
static _Thread_local int who;
static _Atomic bool begun, queued, go_on;

/* The first one stays in its sync; the second one is to be next. */
static void about_to_block(enum env_wait what)
{
    (void)what;
    if (who == SECOND)
        atomic_store(&queued, true);
    if (who != FIRST)
        return;
    atomic_store(&begun, true);
    while (!atomic_load(&go_on))
        sched_yield();
}

static void *sync_as(void *arg)
{
    who = (int)(intptr_t)arg;
    return (void *)(intptr_t)lsm_sync(db);
}

static void await(_Atomic bool *flag)
{
    while (!atomic_load(flag))
        sched_yield();
}

/* They ask while a sync runs, and are answered together; so they are expected to come
 * again. */
START_TEST(a_crowd_is_answered_and_so_is_who_comes_alone_after_it)
{
    enum { MANY = 8, ROUNDS = 20 };
    struct asked a[MANY + 1];
    pthread_t first;
    void *rc;

    env = env_mem_new(test_seed());
    env_set_block_hook(about_to_block); /* as long as the store's own threads run */
    open_with(1);
    for (int round = 0; round < ROUNDS; round++) {
        put(REQUESTS);
        atomic_store(&begun, false);
        atomic_store(&go_on, false);
        ck_assert_int_eq(pthread_create(&first, NULL, sync_as, (void *)FIRST), 0);
        await(&begun);
        put_and_ask(a, 0, MANY);
        atomic_store(&go_on, true);
        pthread_join(first, &rc);
        ck_assert_ptr_null(rc);
        wait_for(a, MANY);
        put_and_ask(a, MANY, 1);
        wait_for(a, MANY + 1);
    }
    teardown();
    env_set_block_hook(NULL);
    check_answered(a, MANY + 1);
}
END_TEST

/* A flush could not sync the directory, which holds the name of the log, too. */
START_TEST(who_waits_for_a_sync_is_told_of_what_failed_beside_it)
{
    pthread_t first, second;
    void *rc;

    test_log_capture();
    setup();
    ck_ok(lsm_put(db, slice_str("a"), slice_str("in the log")));
    env_set_block_hook(about_to_block);
    ck_assert_int_eq(pthread_create(&first, NULL, sync_as, (void *)FIRST), 0);
    await(&begun);
    ck_ok(lsm_put(db, slice_str("b"), slice_str("in the log")));
    ck_assert_int_eq(pthread_create(&second, NULL, sync_as, (void *)SECOND), 0);
    await(&queued);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC_DIR, ENV_MEM_ONCE);
    ck_err(lsm_flush(db), EIO);
    atomic_store(&go_on, true);
    pthread_join(first, &rc);
    ck_assert_int_eq((intptr_t)rc, -EIO);
    pthread_join(second, &rc);
    ck_assert_int_eq((intptr_t)rc, -EIO);
    env_set_block_hook(NULL);
    ck_err(lsm_close(db), EIO);
    env_mem_free(env);
}
END_TEST

/* ---- an env whose calls do something more ---- */

static struct env_ops ops;
static const struct env_ops *real;

static void wrap(void)
{
    real = env->ops;
    ops = *real;
    env->ops = &ops;
}

static _Atomic int dir_syncs;
static pthread_t beside;

/* The first one fails; before its caller knows, another thread asks for the next one. */
static int fail_first(struct env *e, const char *path)
{
    int i;

    if (atomic_fetch_add(&dir_syncs, 1))
        return real->sync_dir(e, path);
    ck_assert_int_eq(pthread_create(&beside, NULL, sync_as, (void *)NOBODY), 0);
    for (i = 0; i < 300 && atomic_load(&dir_syncs) < 2; i++)
        env_sleep_ns(env_posix(), 1000000);
    return -EIO;
}

START_TEST(a_sync_of_the_directory_that_failed_is_not_followed_by_one_that_succeeds)
{
    void *rc;

    test_log_capture();
    setup();
    ck_ok(lsm_put(db, slice_str("a"), slice_str("in a log whose name is new")));
    wrap();
    ops.sync_dir = fail_first;
    atomic_store(&dir_syncs, 0);
    ck_err(lsm_flush(db), EIO);
    pthread_join(beside, &rc);
    ck_assert_int_eq((intptr_t)rc, -EIO);
    env->ops = real;
    ck_err(lsm_close(db), EIO);
    env_mem_free(env);
}
END_TEST

static int no_room(struct env *e, const char *path, enum env_mode mode,
                   uint64_t preallocate, struct env_file **out)
{
    return mode == ENV_CREATE ? -ENOSPC : real->open(e, path, mode, preallocate, out);
}

/* The note is needed all the same: what the sync gave up is still in memory, and looks
 * whole to who opens the store next. */
START_TEST(that_a_sync_failed_for_want_of_room_is_noted)
{
    struct env *after;
    int i;

    test_log_capture();
    setup();
    for (i = 0; i < 3; i++)
        put(i);
    ck_ok(lsm_sync(db));
    put(3);
    wrap();
    ops.open = no_room;
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(lsm_sync(db), EIO);
    ck_err(lsm_close(db), EIO);
    env->ops = real;
    open_store();
    put(4);
    ck_ok(lsm_sync(db));
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    ck_ok(lsm_close(db));
    env_mem_free(env);
    env = after;
    open_store();
    for (i = 0; i < 5; i++)
        check(i, value_of(i));
    teardown();
}
END_TEST

TEST_MAIN(
    "db_sync", TEST_CASE(values_travel_in_the_log_while_syncs_are_near),
    TEST_CASE(a_value_that_is_to_be_synced_at_once_travels_in_the_log),
    TEST_CASE(between_rare_syncs_values_are_separated),
    TEST_CASE(the_flush_separates_what_came_in_the_log),
    TEST_CASE(a_part_of_a_value_in_the_log_is_shared),
    TEST_CASE(a_value_synced_in_the_log_survives_power_loss),
    TEST_CASE(the_disk_begins_when_as_much_is_written_as_before_the_last_sync),
    TEST_CASE(while_the_disk_begins_others_write_and_the_log_stays),
    TEST_CASE(where_appends_are_in_memory_what_was_written_later_is_stored_by_settling),
    TEST_CASE(settling_tells_that_what_was_written_later_could_not_be_stored),
    TEST_CASE(in_a_directory_settling_waits_for_nothing),
    TEST_CASE(who_does_not_wait_is_told_once_and_after_it_is_durable),
    TEST_CASE(closing_answers_who_is_left),
    TEST_CASE(a_crowd_is_answered_and_so_is_who_comes_alone_after_it),
    TEST_CASE(after_a_failed_sync_nobody_is_told_that_it_is_durable),
    TEST_CASE(who_waits_for_a_sync_is_told_of_what_failed_beside_it),
    TEST_CASE(a_sync_of_the_directory_that_failed_is_not_followed_by_one_that_succeeds),
    TEST_CASE(that_a_sync_failed_for_want_of_room_is_noted),
    TEST_CASE(a_flush_ends_beside_threads_that_sync_without_pause))
