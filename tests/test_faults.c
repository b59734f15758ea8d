/*
 * test_faults.c - the engine, when a call to the env fails: every one of a load, one at a
 * time, and the disk's being full for a while from any call on. What was acknowledged is
 * there, before and after reopening; a call that failed did nothing, or the store says
 * that it is read-only and why; a full disk is forgotten when there is room.
 *
 * In `make test` every STRIDE-th call, which ones the seed draws; in `make soak` all.
 */
#include "tests/crash_load.h"

#include <stdlib.h>

#include "lsm/names.h"

enum {
    STRIDE = SOAK_SANITIZED ? 150 : 13,
    READ_KINDS = ENV_MEM_OPEN_READ | ENV_MEM_READ | ENV_MEM_LIST | ENV_MEM_STAT,
    /* What asks for room. */
    ROOM_KINDS =
        ENV_MEM_OPEN | ENV_MEM_APPEND | ENV_MEM_RENAME | ENV_MEM_LINK | ENV_MEM_MKDIR,
    FULL_STEPS = 8, /* that a full disk lasts */
    CLOSES = SOAK_SANITIZED ? 2 : 12,
};

static struct crash_load l;
static uint64_t faults, failed, read_only;

static void options(struct lsm_options *o, enum lsm_strategy strategy, unsigned workers)
{
    lsm_options_init(o);
    o->create = true;
    o->memtable_bytes = 4 << 10;
    o->memory_bytes = 256 << 10;
    o->block_bytes = 512;
    o->table_bytes = 4 << 10;
    o->l0_trigger = 2;
    o->level_ratio = 2;
    o->l1_bytes = 8 << 10;
    o->segment_bytes = 8 << 10;
    o->separate_bytes = 500;
    o->garbage_ratio = 0.05;
    o->strategy = strategy;
    o->workers = workers;
    o->sync_interval_ms = 0;
}

static void begin(uint64_t seed, unsigned workers)
{
    struct lsm_options o;

    options(&o, (enum lsm_strategy)(seed % 3), workers);
    crash_begin(&l, seed, &o);
}

static void no_fault(struct crash_load *load)
{
    env_mem_fail_at(load->env, 0, 0, 0, ENV_MEM_ONCE);
}

/* ---- files ---- */

struct listing {
    char name[400][NAME_BYTES];
    unsigned n;
};

static int list_known(void *arg, const struct lsm_file *f)
{
    struct listing *known = arg;

    ck_assert_uint_lt(known->n, 400);
    snprintf(known->name[known->n++], NAME_BYTES, "%s", f->name);
    return 0;
}

static int find_stranger(void *arg, const char *name)
{
    const struct listing *known = arg;
    uint64_t number;
    unsigned i;

    switch (file_parse(name, &number)) {
    case FILE_TABLE:
    case FILE_SEGMENT:
    case FILE_MANIFEST:
        for (i = 0; i < known->n; i++)
            if (strcmp(known->name[i], name) == 0)
                return 0;
        ck_abort_msg("%s belongs to nobody", name);
    default:
        return 0; /* a log may be kept for recycling */
    }
}

/* What a failed flush, compaction or manifest had begun was taken back. */
static void expect_no_litter(struct crash_load *load)
{
    struct listing known = {.n = 0};

    ck_ok(lsm_files(load->db, list_known, &known));
    ck_ok(env_list(load->env, "/s", find_stranger, &known));
}

/* ---- every call fails once ---- */

static void close_in_the_end(void)
{
    int rc = lsm_close(l.db);

    no_fault(&l);
    if (rc) { /* that was the call, or the store was read-only since; it is a store */
        l.read_only++;
        ck_assert_uint_gt(env_mem_failures(l.env), 0);
        l.o.env = l.env;
        ck_ok(lsm_open("/s", &l.o, &l.db));
        ck_ok(lsm_close(l.db));
    }
    l.db = NULL;
}

/* False: there is no n-th call of those kinds. */
static bool fail_once(uint64_t seed, uint64_t n, int err, unsigned kinds)
{
    struct env *after;
    bool reached;
    int least;

    begin(seed, 0);
    env_mem_fail_at(l.env, n, err, kinds, ENV_MEM_ONCE);
    crash_run_on(&l, NULL);
    failed += l.failed;
    read_only += l.read_only;
    if (err == ENOSPC && env_mem_failures(l.env)) {
        ck_assert_uint_eq(l.read_only, 0);
        ck_ok(lsm_flush(l.db));
        ck_ok(lsm_compact(l.db, false));
        expect_no_litter(&l);
    }
    close_in_the_end();
    reached = env_mem_failures(l.env) > 0;
    faults += reached;
    after = crash_clone(&l, seed, ENV_MEM_LOSE_UNSYNCED, &least);
    l.checkpoint[0].step = l.checkpoint[1].step = l.checkpoint[2].step = -1;
    ck_assert_int_eq(crash_check(&l, after, l.done), l.done);
    env_mem_free(after);
    crash_release(&l);
    return reached;
}

static void fail_each(struct soak *s, int err, unsigned kinds)
{
    uint64_t seed = soak_seed(s), step = getenv("SOAK") ? 1 : STRIDE, n;

    faults = failed = read_only = 0;
    for (n = 1 + seed % step; fail_once(seed, n, err, kinds); n += step)
        soak_tell(s, "call %llu", (unsigned long long)n);
    ck_assert_uint_gt(faults, 0);
    printf(
        "%-14s %llu calls of %llu failed; %llu steps with it, %llu times the store was "
        "read-only\n",
        err == ENOSPC         ? "ENOSPC:"
        : kinds == READ_KINDS ? "EIO, reading:"
                              : "EIO, writing:",
        (unsigned long long)faults, (unsigned long long)n, (unsigned long long)failed,
        (unsigned long long)read_only);
    s->crashes += faults;
    s->operations += faults * CRASH_STEPS;
}

START_TEST(any_call_may_fail_once_and_nothing_acknowledged_is_lost)
{
    struct soak s;

    if (!getenv("VERBOSE"))
        test_log_capture();
    for (soak_begin(&s); soak_once(&s); s.option_sets++) {
        fail_each(&s, EIO, ENV_MEM_ALL & ~READ_KINDS);
        fail_each(&s, EIO, READ_KINDS);
        fail_each(&s, ENOSPC, ROOM_KINDS);
    }
    soak_end(&s);
}
END_TEST

/* A close, too, is told of each sync that fails in it, and says nothing of an end that
 * the disk has not got. */
START_TEST(a_sync_that_fails_in_a_close_is_told)
{
    uint64_t seed, n, told = 0;
    struct env *after;
    bool reached;
    int least;

    test_log_capture();
    for (seed = 1; seed <= CLOSES; seed++)
        for (reached = true, n = 1; reached; n++) {
            begin(seed, 0);
            crash_run_on(&l, NULL);
            env_mem_fail_at(l.env, n, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
            reached = lsm_close(l.db) != 0;
            ck_assert_uint_eq(env_mem_failures(l.env), reached);
            told += reached;
            l.db = NULL;
            after = crash_clone(&l, seed, ENV_MEM_LOSE_UNSYNCED, &least);
            l.checkpoint[0].step = l.checkpoint[1].step = l.checkpoint[2].step = -1;
            crash_check(&l, after, reached ? least : l.done);
            env_mem_free(after);
            crash_release(&l);
        }
    ck_assert_uint_gt(told, CLOSES);
}
END_TEST

static bool looked;

/* The power fails when the store was opened again, and before it did anything else; or,
 * where it need not be, after a sync. */
static void lose_power(struct crash_load *load)
{
    struct env *after;
    int least;

    if (looked || !env_mem_failures(load->env))
        return;
    if (!load->read_only && lsm_sync(load->db))
        return; /* read-only since the background failed: the next step is told */
    looked = true;
    after = crash_clone(load, load->seed, ENV_MEM_LOSE_UNSYNCED, &least);
    load->checkpoint[0].step = load->checkpoint[1].step = load->checkpoint[2].step = -1;
    ck_assert_int_eq(crash_check(load, after, load->done), load->done);
    env_mem_free(after);
}

/* The system has in memory what it failed to write, and says yes to the next sync. Who
 * opens the store then replays that, and must not count on it. */
START_TEST(after_a_sync_that_failed_the_next_opening_saves_what_it_takes_over)
{
    uint64_t seed = test_seed(), step = getenv("SOAK") ? 1 : STRIDE, n, found = 0;

    test_log_capture();
    for (looked = true, n = 1 + seed % step; looked; n += step) {
        begin(seed, 0);
        l.stepped = lose_power;
        looked = false;
        env_mem_fail_at(l.env, n, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
        crash_run_on(&l, NULL);
        found += looked && l.read_only;
        l.stepped = NULL;
        crash_release(&l);
    }
    ck_assert_uint_gt(found, 0);
}
END_TEST

/* ---- a full disk, for a while ---- */

static int full_until; /* step; 0: it is not full yet */

static void free_again(struct crash_load *load)
{
    if (!full_until && env_mem_failures(load->env))
        full_until = load->done + FULL_STEPS;
    if (full_until && load->done >= full_until)
        no_fault(load);
}

static unsigned refused; /* times, though there is room */

static bool found_room(int rc)
{
    ck_assert_msg(rc == 0 || rc == -ENOSPC, "%d", rc);
    refused += rc != 0;
    return rc == 0;
}

/* The disk is full from the n-th call that wants room on, for some steps: nothing is
 * lost, and the store, not reopened, goes on when there is room. */
static bool be_full(uint64_t seed, uint64_t n, unsigned workers)
{
    struct lsm_stats stats;
    bool reached;

    begin(seed, workers);
    l.stepped = free_again;
    full_until = 0;
    env_mem_fail_at(l.env, n, ENOSPC, ROOM_KINDS, ENV_MEM_FOREVER);
    crash_run_on(&l, no_fault);
    reached = env_mem_failures(l.env) > 0;
    no_fault(&l);
    faults += reached;
    failed += l.failed;
    ck_assert_uint_eq(l.read_only, 0);
    refused = 0;
    ck_soon(found_room(lsm_put(l.db, slice_str("zz"), slice_str("room"))));
    ck_assert_uint_lt(workers ? 0 : refused, 3);
    ck_ok(lsm_sync(l.db));
    /* There may be one that failed before, and its report. */
    ck_soon(found_room(lsm_compact(l.db, false)));
    if (!workers)
        expect_no_litter(&l);
    lsm_get_stats(l.db, &stats);
    ck_assert_int_eq(stats.background_error, 0);
    ck_ok(lsm_delete(l.db, slice_str("zz")));
    ck_ok(lsm_close(l.db));
    l.db = NULL;
    l.checkpoint[0].step = l.checkpoint[1].step = l.checkpoint[2].step = -1;
    ck_assert_int_eq(crash_check(&l, l.env, l.done), l.done);
    crash_release(&l);
    return reached;
}

static void full_each(struct soak *s, unsigned workers, uint64_t step)
{
    uint64_t n = 1 + soak_seed(s) % step;

    faults = failed = 0;
    while (be_full(soak_seed(s), n, workers))
        n += step;
    printf("full disk, %u threads: from %llu calls of %llu on; %llu steps failed\n",
           workers, (unsigned long long)faults, (unsigned long long)n,
           (unsigned long long)failed);
    ck_assert_uint_gt(failed, 0);
    s->crashes += faults;
    s->operations += faults * CRASH_STEPS;
}

START_TEST(when_a_full_disk_has_room_again_writing_goes_on_by_itself)
{
    struct soak s;

    if (!getenv("VERBOSE"))
        test_log_capture();
    for (soak_begin(&s); soak_once(&s); s.option_sets++)
        full_each(&s, 0, getenv("SOAK") ? 1 : STRIDE);
    soak_end(&s);
}
END_TEST

START_TEST(beside_threads_too)
{
    struct soak s;

    if (!getenv("VERBOSE"))
        test_log_capture();
    for (soak_begin(&s); soak_once(&s); s.option_sets++)
        full_each(&s, 2, getenv("SOAK") ? 40 : SOAK_SANITIZED ? 600 : 250);
    soak_end(&s);
}
END_TEST

/* ---- one table ---- */

static int first_table(void *arg, const struct lsm_file *f)
{
    if (f->kind != LSM_FILE_TABLE)
        return 0;
    snprintf(arg, NAME_BYTES, "%s", f->name);
    return 1;
}

/* Keys "a0" to "a9" and so on are one table each; the first is to be called `first`. */
static void three_tables(struct lsm_options *o, char first[NAME_BYTES])
{
    char key[8] = "a0";
    struct lsm *db;

    ck_ok(lsm_open("/s", o, &db));
    for (; key[0] <= 'c'; key[0]++) {
        for (key[1] = '0'; key[1] <= '9'; key[1]++)
            ck_ok(lsm_put(db, slice_str(key), slice_str("value")));
        ck_ok(lsm_flush(db));
        if (key[0] == 'a')
            ck_assert_int_eq(lsm_files(db, first_table, first), 1);
    }
    ck_ok(lsm_close(db));
}

static void expect_text(struct lsm *db, const char *part, bool there)
{
    struct lsm_stats s;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    lsm_get_stats(db, &s);
    lsm_print_stats(&s, out);
    fclose(out);
    ck_assert_msg((strstr(text, part) != NULL) == there, "%s", text);
    free(text);
}

START_TEST(a_table_that_cannot_be_read_keeps_nobody_from_the_others)
{
    struct lsm_value v = {0};
    struct lsm_stats s;
    char bad[NAME_BYTES];
    struct lsm_options o;
    struct lsm_iter *it;
    struct lsm *db;
    struct slice from = slice_str("b");
    int n = 0;

    test_log_capture();
    options(&o, LSM_LEVELED, 0);
    o.l0_trigger = 100;
    o.memtable_bytes = 64 << 10;
    o.memory_bytes = 1 << 20;
    o.verify_bytes = 0; /* it would leave the blocks in memory */
    o.env = env_mem_new(1);
    three_tables(&o, bad);
    ck_ok(lsm_open("/s", &o, &db));
    env_mem_fail_only(o.env, bad);
    env_mem_fail_at(o.env, 1, EIO, READ_KINDS, ENV_MEM_FOREVER);
    ck_err(lsm_get(db, NULL, slice_str("a5"), &v), EIO);
    ck_ok(lsm_get(db, NULL, slice_str("b5"), &v));
    ck_ok(lsm_get(db, NULL, slice_str("c5"), &v));
    ck_ok(lsm_iter_new(db, &(struct lsm_iter_options){.lower = &from}, &it));
    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it))
        n++;
    ck_ok(lsm_iter_error(it));
    ck_assert_int_eq(n, 20);
    lsm_iter_free(it);
    ck_err(lsm_compact(db, true), EIO);
    lsm_get_stats(db, &s);
    ck_assert_int_eq(s.retry_error, -EIO);
    ck_assert_uint_eq(s.failures, 1);
    ck_assert_int_eq(s.background_error, 0);
    expect_text(db, "FAILING: the last flush or compaction: Input/output error", true);
    ck_assert(test_log_has("a compaction failed: Input/output error"));
    /* It is left alone from now on. */
    ck_assert_uint_eq(s.unreadable_tables, 1);
    expect_text(db, "UNREADABLE: 1 tables", true);
    ck_assert(test_log_has("cannot be read: it stays out of compactions"));
    ck_ok(lsm_compact(db, false));
    lsm_get_stats(db, &s);
    ck_assert_uint_eq(s.failures, 1);
    ck_ok(lsm_put(db, slice_str("d"), slice_str("written")));
    ck_ok(lsm_sync(db));
    ck_ok(lsm_get(db, NULL, slice_str("b5"), &v));
    env_mem_fail_at(o.env, 0, 0, 0, ENV_MEM_ONCE);
    ck_ok(lsm_get(db, NULL, slice_str("a5"), &v));
    env_sleep_ns(o.env, 60000000000ull); /* until it is tried again */
    ck_ok(lsm_compact(db, true));
    expect_text(db, "FAILING", false);
    expect_text(db, "UNREADABLE", false);
    ck_assert(test_log_has("can be read again"));
    ck_assert(test_log_has("compactions go on"));
    lsm_value_release(&v);
    ck_ok(lsm_close(db));
    env_mem_free(o.env);
}
END_TEST

START_TEST(what_made_it_read_only_is_told)
{
    struct lsm_options o;
    struct lsm_stats s;
    struct lsm *db;

    test_log_capture();
    options(&o, LSM_LEVELED, 0);
    o.env = env_mem_new(1);
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_put(db, slice_str("a"), slice_str("value")));
    env_mem_fail_at(o.env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(lsm_sync(db), EIO);
    ck_err(lsm_sync(db), EIO); /* for good: nothing of it can be trusted */
    ck_err(lsm_put(db, slice_str("b"), slice_str("value")), EROFS);
    lsm_get_stats(db, &s);
    ck_assert_int_eq(s.background_error, -EIO);
    expect_text(db, "READ-ONLY after an error: Input/output error", true);
    ck_assert(test_log_has("syncing failed: Input/output error; the store is read-only"));
    ck_err(lsm_close(db), EIO);
    env_mem_free(o.env);
}
END_TEST

TEST_MAIN("faults",
          TEST_CASE_SOAK(any_call_may_fail_once_and_nothing_acknowledged_is_lost),
          TEST_CASE(a_sync_that_fails_in_a_close_is_told),
          TEST_CASE(after_a_sync_that_failed_the_next_opening_saves_what_it_takes_over),
          TEST_CASE_SOAK(when_a_full_disk_has_room_again_writing_goes_on_by_itself),
          TEST_CASE_SOAK(beside_threads_too),
          TEST_CASE(a_table_that_cannot_be_read_keeps_nobody_from_the_others),
          TEST_CASE(what_made_it_read_only_is_told))
