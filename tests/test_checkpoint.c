/*
 * test_checkpoint.c - lsm_checkpoint: a store of links that holds one moment,
 * lives by itself, and is whole or absent after a crash; lsm_files.
 */
#include "tests/env_mem.h"
#include "tests/rounds.h"

#include <stdatomic.h>
#include <stdlib.h>

static struct lsm_options small_options(struct env *env)
{
    struct lsm_options o = rounds_options(env);

    o.create = true;
    return o;
}

static void fill(struct lsm *db, int from, int to, int round)
{
    uint8_t value[2048];
    char k[16];

    for (; from < to; from++)
        ck_ok(lsm_put(db, rounds_key(from, k), rounds_value(from, round, value)));
}

/* Keys [from, to) stand at that round; -1: they are not there. */
static void expect(struct lsm *db, int from, int to, int round)
{
    struct lsm_value v = {0};
    uint8_t value[2048];
    char k[16];

    for (; from < to; from++) {
        int rc = lsm_get(db, NULL, rounds_key(from, k), &v);

        ck_assert_msg(rc == (round < 0 ? -ENOENT : 0), "%s: %d", k, rc);
        ck_assert_msg(round < 0 || slice_eq(v.value, rounds_value(from, round, value)),
                      "%s is not of round %d", k, round);
    }
    lsm_value_release(&v);
}

static struct lsm *reopen(const char *path, struct lsm_options o)
{
    struct lsm *db;

    o.create = false;
    ck_ok(lsm_open(path, &o, &db));
    ck_ok(lsm_verify(db));
    return db;
}

/* The checkpoint at path holds rounds 1 to 3 of the keys, as make_original left them. */
static void expect_moment(const char *path, const struct lsm_options *o)
{
    struct lsm *db = reopen(path, *o);

    expect(db, 0, 100, 1);
    expect(db, 100, 200, 2);
    expect(db, 200, 250, -1);
    expect(db, 250, 300, 3);
    expect(db, 300, 400, -1);
    ck_ok(lsm_close(db));
}

/* Tables of some levels, and a memtable. */
static void make_original(struct lsm *db)
{
    struct lsm_batch *batch = lsm_batch_new();
    char a[16], b[16];

    fill(db, 0, 250, 1);
    ck_ok(lsm_compact(db, true));
    fill(db, 100, 200, 2);
    ck_ok(lsm_flush(db));
    fill(db, 250, 300, 3);
    lsm_batch_delete_range(batch, rounds_key(200, a), rounds_key(250, b));
    ck_ok(lsm_write(db, batch, LSM_NOSYNC));
    lsm_batch_free(batch);
}

static void check_life(const char *from, const char *to, struct lsm_options o)
{
    struct lsm *db, *copy;

    ck_ok(lsm_open(from, &o, &db));
    make_original(db);
    ck_ok(lsm_checkpoint(db, to));
    ck_err(lsm_checkpoint(db, to), EEXIST);
    expect_moment(to, &o);
    /* The original changes in every way, and does not touch what is linked. */
    fill(db, 0, 400, 9);
    ck_ok(lsm_compact(db, true));
    fill(db, 0, 400, 10);
    ck_ok(lsm_flush(db));
    fill(db, 0, 400, 11);
    expect_moment(to, &o);
    /* And the other way round. */
    copy = reopen(to, o);
    fill(copy, 0, 400, 5);
    ck_ok(lsm_compact(copy, true));
    expect(db, 0, 400, 11);
    ck_ok(lsm_close(copy));
    ck_ok(lsm_close(db));
    db = reopen(from, o);
    expect(db, 0, 400, 11);
    ck_ok(lsm_close(db));
    copy = reopen(to, o);
    expect(copy, 0, 400, 5);
    ck_ok(lsm_close(copy));
}

START_TEST(a_checkpoint_lives_apart_from_its_original)
{
    struct env *env = env_mem_new(1);

    check_life("/s", "/c", small_options(env));
    env_mem_free(env);
}
END_TEST

START_TEST(a_checkpoint_lives_apart_from_its_original_on_disk)
{
    struct lsm_options o = small_options(NULL);
    char from[256], to[256];

    snprintf(from, sizeof(from), "%s/s", test_dir());
    snprintf(to, sizeof(to), "%s/c", test_dir());
    o.workers = 1;
    check_life(from, to, o);
}
END_TEST

static int unlink_all(void *arg, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/s/%s", name);
    return env_unlink(arg, path);
}

START_TEST(a_checkpoint_survives_the_deletion_of_its_original)
{
    struct env *env = env_mem_new(1), *after;
    struct lsm_options o = small_options(env);
    struct lsm *db;

    ck_ok(lsm_open("/s", &o, &db));
    make_original(db);
    ck_ok(lsm_checkpoint(db, "/c"));
    ck_ok(lsm_close(db));
    (void)env_list(env, "/s", unlink_all, env);
    ck_ok(env_sync_dir(env, "/s"));
    after = env_mem_crash_clone(env, 1, ENV_MEM_LOSE_UNSYNCED);
    env_mem_free(env);
    o.env = after;
    expect_moment("/c", &o);
    env_mem_free(after);
}
END_TEST

START_TEST(an_empty_store_has_checkpoints)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = small_options(env);
    struct lsm *db, *copy;

    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_checkpoint(db, "/c1/"));
    copy = reopen("/c1", o);
    ck_err(lsm_checkpoint(copy, "/none/c"), ENOENT);
    fill(copy, 0, 5, 1);
    ck_ok(lsm_checkpoint(copy, "/c2")); /* of a checkpoint */
    ck_ok(lsm_close(copy));
    copy = reopen("/c2", o);
    expect(copy, 0, 5, 1);
    ck_ok(lsm_close(copy));
    expect(db, 0, 5, -1);
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

START_TEST(many_checkpoints_do_not_gather_logs)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = small_options(env);
    struct lsm_stats st;
    char path[16];
    struct lsm *db;
    int i;

    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < 60; i++) {
        fill(db, i, i + 1, 1);
        snprintf(path, sizeof(path), "/c%d", i);
        ck_ok(lsm_checkpoint(db, path));
    }
    lsm_get_stats(db, &st);
    ck_assert_int_gt((int)st.flushes, 3);
    ck_assert_int_lt((int)st.flushes, 20);
    fill(db, 0, 400, 2); /* logs are dropped, and recycled where that is allowed */
    ck_ok(lsm_close(db));
    for (i = 0; i < 60; i++) {
        snprintf(path, sizeof(path), "/c%d", i);
        db = reopen(path, o);
        expect(db, 0, i + 1, 1);
        expect(db, i + 1, 61, -1);
        ck_ok(lsm_close(db));
    }
    env_mem_free(env);
}
END_TEST

START_TEST(a_linked_log_is_not_recycled_after_a_crash_either)
{
    struct env *env = env_mem_new(1), *after;
    struct lsm_options o = small_options(env);
    struct lsm *db;
    int i;

    ck_ok(lsm_open("/s", &o, &db));
    make_original(db);
    ck_ok(lsm_checkpoint(db, "/c"));
    after = env_mem_crash_clone(env, 7, ENV_MEM_LOSE_UNSYNCED);
    ck_ok(lsm_close(db));
    env_mem_free(env);
    o.env = after;
    db = reopen("/s", o);
    for (i = 0; i < 8; i++)
        fill(db, 0, 400, i);
    ck_ok(lsm_close(db));
    expect_moment("/c", &o);
    env_mem_free(after);
}
END_TEST

/* ---- files ---- */

struct seen {
    struct env *env;
    unsigned n[5], mutable;
};

/* Copies from /c to /copy. */
static int copy_file(void *arg, const struct lsm_file *f)
{
    struct seen *s = arg;
    char from[64], to[64];
    struct buf content = {0};

    s->n[f->kind]++;
    s->mutable += !f->immutable;
    snprintf(from, sizeof(from), "/c/%s", f->name);
    snprintf(to, sizeof(to), "/copy/%s", f->name);
    ck_ok(env_mem_read(s->env, from, &content));
    ck_assert_uint_eq(content.len, f->size);
    ck_ok(env_mem_write(s->env, to, buf_slice(&content)));
    buf_release(&content);
    return 0;
}

static int count_file(void *arg, const struct lsm_file *f)
{
    struct seen *s = arg;

    s->n[f->kind]++;
    s->mutable += !f->immutable;
    return 0;
}

START_TEST(the_listed_files_of_a_checkpoint_are_the_store)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = small_options(env), ro = o;
    struct seen live = {.env = env}, s = {.env = env};
    struct lsm *db, *copy;

    ck_ok(lsm_open("/s", &o, &db));
    make_original(db);
    ck_ok(lsm_files(db, count_file, &live));
    ck_assert_uint_eq(live.mutable, 4); /* CURRENT, manifest, active log and segment */
    ck_ok(lsm_checkpoint(db, "/c"));
    ro.read_only = true;
    ro.create = false;
    ck_ok(lsm_open("/c", &ro, &copy));
    ck_err(lsm_checkpoint(copy, "/d"), EROFS);
    ck_ok(env_mkdir(env, "/copy"));
    ck_ok(lsm_files(copy, copy_file, &s));
    ck_ok(lsm_close(copy));
    ck_assert_uint_eq(s.mutable, 0);
    ck_assert_uint_gt(s.n[LSM_FILE_TABLE], 1);
    ck_assert_uint_gt(s.n[LSM_FILE_SEGMENT], 0);
    ck_assert_uint_gt(s.n[LSM_FILE_LOG], 0);
    ck_assert_uint_eq(s.n[LSM_FILE_MANIFEST], 1);
    ck_assert_uint_eq(s.n[LSM_FILE_CURRENT], 1);
    expect_moment("/copy", &o);
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

/* ---- verify ---- */

struct wanted {
    enum lsm_file_kind kind;
    char path[64];
};

static int find_file(void *arg, const struct lsm_file *f)
{
    struct wanted *w = arg;

    if (f->kind == w->kind)
        snprintf(w->path, sizeof(w->path), "/s/%s", f->name);
    return 0;
}

START_TEST(verify_finds_damage_in_logs_and_manifest)
{
    struct env *env = env_mem_new(1);
    struct lsm_options o = small_options(env);
    struct wanted w = {.kind = LSM_FILE_LOG};
    struct lsm *db;

    test_log_capture();
    ck_ok(lsm_open("/s", &o, &db));
    make_original(db);
    for (;; w.kind = LSM_FILE_MANIFEST) {
        ck_ok(lsm_verify(db));
        ck_ok(lsm_files(db, find_file, &w));
        ck_ok(env_mem_flip(env, w.path, 70, 1));
        ck_err(lsm_verify(db), EUCLEAN);
        ck_assert(test_log_has(w.path));
        ck_ok(env_mem_flip(env, w.path, 70, 1));
        if (w.kind == LSM_FILE_MANIFEST)
            break;
    }
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

/* ---- crashes ---- */

/* After a crash during a checkpoint: the original is what it was, the other is
 * that too or is not there, and a new checkpoint works. */
static void check_crash(struct env *env, struct lsm_options o, bool promised)
{
    struct lsm *db;

    o.env = env;
    if (promised || env_stat(env, "/c/CURRENT", &(uint64_t){0}) == 0)
        expect_moment("/c", &o);
    else
        ck_err(env_list(env, "/c", NULL, NULL), ENOENT);
    db = reopen("/s", o);
    expect(db, 0, 100, 1);
    expect(db, 100, 200, 2);
    if (env_stat(env, "/c/CURRENT", &(uint64_t){0})) {
        struct lsm *copy;

        ck_ok(lsm_checkpoint(db, "/c"));
        copy = reopen("/c", o);
        expect(copy, 100, 200, 2);
        ck_ok(lsm_close(copy));
    }
    ck_ok(lsm_close(db));
}

START_TEST(a_crash_at_every_call_leaves_a_whole_checkpoint_or_none)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM,
                                               ENV_MEM_KEEP_RANDOM, ENV_MEM_KEEP_ALL};
    uint64_t n, seed = test_seed();
    bool done = false;
    unsigned i;

    test_log_capture();
    for (n = 0; !done; n++) {
        struct env *env = env_mem_new(seed);
        struct lsm_options o = small_options(env);
        struct lsm *db;

        ck_ok(lsm_open("/s", &o, &db));
        make_original(db);
        env_mem_stop_at(env, n);
        done = lsm_checkpoint(db, "/c") == 0;
        for (i = 0; i < 4; i++) {
            struct env *after = env_mem_crash_clone(env, seed + n * 4 + i, modes[i]);

            check_crash(after, o, done);
            env_mem_free(after);
        }
        env_mem_stop_at(env, 0);
        lsm_close(db);
        env_mem_free(env);
    }
    ck_assert_uint_gt(n, 20);
}
END_TEST

START_TEST(a_fault_at_any_call_leaves_the_original_alone)
{
    uint64_t n, failed = 1;

    test_log_capture();
    for (n = 1; failed; n++) {
        struct env *env = env_mem_new(3);
        struct lsm_options o = small_options(env);
        struct lsm *db;
        int rc;

        ck_ok(lsm_open("/s", &o, &db));
        make_original(db);
        env_mem_fail_at(env, n, EXDEV,
                        ENV_MEM_LINK | ENV_MEM_RENAME | ENV_MEM_MKDIR | ENV_MEM_OPEN |
                            ENV_MEM_LIST,
                        ENV_MEM_ONCE);
        rc = lsm_checkpoint(db, "/c");
        env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
        failed = env_mem_failures(env);
        ck_assert_int_eq(rc, failed ? -EXDEV : 0);
        if (rc)
            ck_ok(lsm_checkpoint(db, "/c"));
        expect_moment("/c", &o);
        expect(db, 100, 200, 2);
        ck_ok(lsm_close(db));
        env_mem_free(env);
    }
    ck_assert_uint_gt(n, 8);
}
END_TEST

/* ---- one moment ---- */

enum { WRITERS = 3, GROUP = 8, CHECKPOINTS = 40 };

struct shared {
    struct lsm *db;
    _Atomic bool stop;
    _Atomic uint64_t done[WRITERS], begun[WRITERS], ticket;
    _Atomic int bad;
};

struct writer {
    struct shared *s;
    pthread_t id;
    int number;
};

static struct slice group_key(int writer, int i, char to[16])
{
    snprintf(to, 16, "w%d-%02d", writer, i);
    return slice_str(to);
}

/* All keys of the group at n, in one batch; some of them separated. */
static void *write_groups(void *arg)
{
    struct writer *w = arg;
    struct lsm_batch *b = lsm_batch_new();
    uint8_t value[GROUP][2000];
    char k[16];
    uint64_t n;
    int i;

    for (n = 1; !atomic_load(&w->s->stop); n++) {
        lsm_batch_clear(b);
        for (i = 0; i < GROUP; i++) {
            memset(value[i], (int)n, sizeof(value[i]));
            store_le64(value[i], n);
            lsm_batch_put_ref(b, group_key(w->number, i, k),
                              slice_of(value[i], i % 3 ? 8 : 2000));
        }
        atomic_store(&w->s->begun[w->number], n);
        if (lsm_write(w->s->db, b, n % 64 ? LSM_NOSYNC : LSM_SYNC))
            atomic_store(&w->s->bad, 1);
        atomic_store(&w->s->done[w->number], n);
    }
    lsm_batch_free(b);
    return NULL;
}

static void expect_groups(struct lsm *db, const uint64_t *least, const uint64_t *most)
{
    struct lsm_value v = {0};
    uint64_t first = 0, n;
    char k[16];
    int w, i;

    for (w = 0; w < WRITERS; w++) {
        for (i = 0; i < GROUP; i++) {
            int rc = lsm_get(db, NULL, group_key(w, i, k), &v);

            ck_assert(rc == 0 || (rc == -ENOENT && least[w] == 0));
            n = rc ? 0 : load_le64(v.value.data);
            first = i ? first : n;
            ck_assert_msg(n == first, "%s is at %d, not %d", k, (int)n, (int)first);
        }
        ck_assert_uint_ge(first, least[w]);
        ck_assert_uint_le(first, most[w]);
    }
    lsm_value_release(&v);
}

static void check_under_load(struct lsm_options o, const char *dir)
{
    struct shared s = {0};
    struct writer t[WRITERS];
    uint64_t least[CHECKPOINTS][WRITERS], most[CHECKPOINTS][WRITERS];
    char path[300];
    int i, w;

    o.workers = 2;
    o.memtables = 3;
    o.memtable_bytes = 16 << 10; /* so that files come and go all the while */
    snprintf(path, sizeof(path), "%s/s", dir);
    ck_ok(lsm_open(path, &o, &s.db));
    for (w = 0; w < WRITERS; w++) {
        t[w] = (struct writer){.s = &s, .number = w};
        pthread_create(&t[w].id, NULL, write_groups, &t[w]);
    }
    for (i = 0; i < CHECKPOINTS; i++) {
        env_sleep_ns(env_posix(), 15000000);
        for (w = 0; w < WRITERS; w++)
            least[i][w] = atomic_load(&s.done[w]);
        snprintf(path, sizeof(path), "%s/c%d", dir, i);
        ck_ok(lsm_checkpoint(s.db, path));
        for (w = 0; w < WRITERS; w++)
            most[i][w] = atomic_load(&s.begun[w]);
    }
    atomic_store(&s.stop, true);
    for (w = 0; w < WRITERS; w++)
        pthread_join(t[w].id, NULL);
    ck_assert_int_eq(atomic_load(&s.bad), 0);
    ck_ok(lsm_close(s.db));
    for (i = 0; i < CHECKPOINTS; i++) {
        snprintf(path, sizeof(path), "%s/c%d", dir, i);
        s.db = reopen(path, o);
        expect_groups(s.db, least[i], most[i]);
        ck_ok(lsm_close(s.db));
    }
    printf("%d batches of writer 0 by the last checkpoint\n", (int)least[i - 1][0]);
}

START_TEST(under_load_a_checkpoint_is_one_moment)
{
    struct env *env = env_mem_new(1);

    check_under_load(small_options(env), "");
    env_mem_free(env);
}
END_TEST

START_TEST(under_load_a_checkpoint_is_one_moment_on_disk)
{
    check_under_load(small_options(NULL), test_dir());
}
END_TEST

TEST_MAIN("checkpoint", TEST_CASE_ALONE(a_checkpoint_lives_apart_from_its_original),
          TEST_CASE(a_checkpoint_lives_apart_from_its_original_on_disk),
          TEST_CASE_ALONE(a_checkpoint_survives_the_deletion_of_its_original),
          TEST_CASE_ALONE(an_empty_store_has_checkpoints),
          TEST_CASE_ALONE(many_checkpoints_do_not_gather_logs),
          TEST_CASE_ALONE(a_linked_log_is_not_recycled_after_a_crash_either),
          TEST_CASE_ALONE(the_listed_files_of_a_checkpoint_are_the_store),
          TEST_CASE_ALONE(verify_finds_damage_in_logs_and_manifest),
          TEST_CASE_ALONE(a_crash_at_every_call_leaves_a_whole_checkpoint_or_none),
          TEST_CASE_ALONE(a_fault_at_any_call_leaves_the_original_alone),
          TEST_CASE(under_load_a_checkpoint_is_one_moment),
          TEST_CASE(under_load_a_checkpoint_is_one_moment_on_disk))
