/*
 * test_manifest_crash.c - lsm/manifest.h when calls fail and the power goes.
 */
#include "test.h"

#include "lsm/manifest.h"

#include "env_mem.h"

#define DIR "/store"

enum { NUMBER = 42 };

static struct env *env;

static void begin(void)
{
    env = env_mem_new(test_seed());
    ck_ok(env_mkdir(env, DIR));
    ck_ok(env_sync_dir(env, "/"));
    test_log_capture();
}

static void end(void)
{
    ck_assert_uint_eq(env_mem_open_files(env), 0);
    env_mem_free(env);
}

/* ---- edits here are a number: the last sequence ---- */

static struct manifest *create(uint64_t number, uint64_t seq)
{
    struct edit e = {.has_last_seq = true, .last_seq = seq};
    struct manifest *m;

    ck_ok(manifest_create(env, DIR, number, &e, &m));
    ck_assert_uint_eq(manifest_number(m), number);
    return m;
}

static int append(struct manifest *m, uint64_t seq)
{
    struct edit e = {.has_last_seq = true, .last_seq = seq};

    return manifest_append(m, &e);
}

struct seen {
    uint64_t seq[16];
    size_t n;
    uint64_t number, length;
};

static int see(void *arg, struct edit *e, const char *path)
{
    struct seen *s = arg;

    ck_assert(strstr(path, "/MANIFEST-") != NULL);
    ck_assert(e->has_last_seq);
    ck_assert_uint_lt(s->n, 16);
    s->seq[s->n++] = e->last_seq;
    return 0;
}

static int read_all(struct env *from, struct seen *s)
{
    s->n = 0;
    return manifest_read(from, DIR, see, s, &s->number, &s->length);
}

/* Edits 100, 101, ... so many, and no more. */
static void expect_edits(const struct seen *s, size_t n)
{
    size_t i;

    ck_assert_uint_eq(s->n, n);
    for (i = 0; i < n; i++)
        ck_assert_uint_eq(s->seq[i], 100 + i);
}

START_TEST(an_append_that_fails_takes_nothing_else_with_it)
{
    struct seen s = {.n = 0};
    struct manifest *m;

    begin();
    m = create(NUMBER, 100);
    ck_ok(append(m, 101));
    env_mem_set_space(env, env_mem_used(env) + 5);
    ck_err(append(m, 102), ENOSPC);
    ck_ok(read_all(env, &s));
    expect_edits(&s, 2);
    /* db_install.c tries again after a full disk: the leftovers are overwritten. */
    env_mem_set_space(env, UINT64_MAX);
    ck_ok(append(m, 102));
    ck_ok(manifest_close(m, true));
    ck_ok(read_all(env, &s));
    expect_edits(&s, 3);
    end();
}
END_TEST

START_TEST(after_a_failed_sync_nothing_is_appended)
{
    struct manifest *m;

    begin();
    m = create(NUMBER, 100);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(append(m, 101), EIO);
    ck_err(append(m, 102), EIO);
    (void)manifest_close(m, false);
    end();
}
END_TEST

START_TEST(a_create_that_fails_leaves_the_old_manifest_or_the_new)
{
    uint64_t n, failed = 0;

    for (n = 1; n < 40; n++) {
        struct edit e = {.has_last_seq = true, .last_seq = 100};
        struct seen s = {.n = 0};
        struct manifest *old, *new;
        uint64_t before;
        int rc;

        begin();
        old = create(7, 100);
        before = env_mem_failures(env);
        env_mem_fail_at(env, n, EIO, ENV_MEM_ALL, ENV_MEM_ONCE);
        rc = manifest_create(env, DIR, NUMBER, &e, &new);
        env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
        failed += rc != 0;
        ck_assert(rc == 0 || env_mem_failures(env) > before);
        if (!rc)
            ck_ok(manifest_close(new, false));
        ck_ok(manifest_close(old, false));
        ck_ok(read_all(env, &s));
        expect_edits(&s, 1);
        ck_assert(s.number == NUMBER || (rc && s.number == 7));
        end();
    }
    ck_assert_uint_gt(failed, 5);
}
END_TEST

/* Two manifests with edits 1, 2, 3 ...; *done is the last that was promised. Ends at
 * the first failure. */
static void workload(uint64_t *done)
{
    struct edit e = {.has_last_seq = true, .last_seq = 1};
    struct manifest *m = NULL, *next;
    int rc;

    *done = 0;
    rc = manifest_create(env, DIR, 3, &e, &m);
    for (; !rc; rc = append(m, *done + 1)) {
        if (++*done == 4) {
            e.last_seq = 5;
            rc = manifest_create(env, DIR, 9, &e, &next);
            manifest_close(m, false);
            m = rc ? NULL : next;
            if (rc)
                break;
            *done = 5;
        }
        if (*done == 8) {
            (void)manifest_close(m, true);
            return;
        }
    }
    (void)manifest_close(m, false);
}

static void check_after_crash(struct env *after, uint64_t done)
{
    struct seen s = {.n = 0};
    int rc = read_all(after, &s);
    size_t i;

    if (rc == -ENOENT && done == 0)
        return;
    ck_ok(rc);
    ck_assert_uint_gt(s.n, 0);
    for (i = 1; i < s.n; i++)
        ck_assert_uint_eq(s.seq[i], s.seq[i - 1] + 1);
    ck_assert_uint_ge(s.seq[s.n - 1], done);
    ck_assert_uint_le(s.seq[s.n - 1], done + 1);
}

START_TEST(after_power_loss_at_any_call_all_promised_edits_are_there)
{
    uint64_t seed = test_seed(), calls, n, done, k;

    begin();
    calls = env_mem_calls(env);
    workload(&done);
    ck_assert_uint_eq(done, 8);
    calls = env_mem_calls(env) - calls;
    end();
    for (n = 0; n <= calls; n++) {
        for (k = 0; k < 6; k++) {
            struct env *after;

            begin();
            env_mem_stop_at(env, n);
            workload(&done);
            after = env_mem_crash_clone(env, seed + n * 10 + k,
                                        k ? ENV_MEM_KEEP_RANDOM : ENV_MEM_LOSE_UNSYNCED);
            check_after_crash(after, done);
            env_mem_free(after);
            end();
        }
    }
}
END_TEST

TEST_MAIN("manifest_crash", TEST_CASE(an_append_that_fails_takes_nothing_else_with_it),
          TEST_CASE(after_a_failed_sync_nothing_is_appended),
          TEST_CASE(a_create_that_fails_leaves_the_old_manifest_or_the_new),
          TEST_CASE(after_power_loss_at_any_call_all_promised_edits_are_there))
