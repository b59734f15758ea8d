/*
 * test_rados_stuck.c - an operation that the cluster does not answer: it stops nobody who
 * needs no answer of it. With TEST_RADOS=rados:POOL, on a cluster (`make rados`); else
 * there is nothing to test.
 */
#include "test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "lsm/env_rados.h"

#if __has_include(<rados/librados.h>)
#include "lsm/env_rados_path.h"

/* ---- in place of librados' own ---- */

static struct rados_api real;
static _Atomic bool hold, waiting;
static _Atomic int answer; /* of a commit that was held; 0: what comes of it */

static void wait_for_the_answer(void)
{
    atomic_store(&waiting, true);
    while (atomic_load(&hold))
        usleep(1000);
    atomic_store(&waiting, false);
}

static int lock_exclusive(rados_ioctx_t io, const char *oid, const char *name,
                          const char *cookie, const char *desc, struct timeval *duration,
                          uint8_t flags)
{
    if (atomic_load(&hold))
        wait_for_the_answer();
    return real.lock_exclusive(io, oid, name, cookie, desc, duration, flags);
}

static int operate(rados_write_op_t op, rados_ioctx_t io, const char *oid,
                   struct timespec *mtime, int flags)
{
    int rc = 0;

    if (atomic_load(&hold) && strcmp(oid, "names") == 0) {
        wait_for_the_answer();
        rc = atomic_exchange(&answer, 0);
    }
    return rc ? rc : real.write_op_operate2(op, io, oid, mtime, flags);
}

/* ---- a store ---- */

static struct env_lock *lock;
static const struct slice some = {(const uint8_t *)"some bytes", 10};

static const char *path(const char *name)
{
    static char p[4][4096];
    static unsigned i;
    char *at = p[i++ % 4];

    snprintf(at, 4096, "%s/%s", test_dir(), name);
    return at;
}

static void begin(void)
{
    static const struct env_rados_options o = {.lease_s = 1};

    env_rados_configure(&o);
    ck_ok(env_lock(env_rados(), path("LOCK"), false, &lock));
    real = ra;
}

static void make(const char *name)
{
    struct env_file *f;

    ck_ok(env_open(env_rados(), path(name), ENV_CREATE, 0, &f));
    ck_ok(env_file_append(f, &some, 1));
    ck_ok(env_file_close(f));
}

static void read_back(const char *name)
{
    char got[32];
    struct env_file *f;
    size_t n;

    ck_ok(env_open(env_rados(), path(name), ENV_READ, 0, &f));
    ck_ok(env_file_pread(f, 0, got, sizeof(got), &n));
    ck_assert_uint_eq(n, some.len);
    ck_ok(env_file_close(f));
}

static bool there(const char *name)
{
    uint64_t size;
    int rc = env_stat(env_rados(), path(name), &size);

    ck_assert(!rc || rc == -ENOENT);
    return !rc;
}

/* As the cluster has it, not this process. */
static void look_again(void)
{
    struct rados_place p;

    ck_ok(rados_find_place(path("x"), RADOS_CACHED, &p));
    mutex_lock(&p.n->mu);
    p.n->loaded = false;
    ck_ok(names_refresh_locked(p.n));
    mutex_unlock(&p.n->mu);
}

static void end(void)
{
    ra = real;
    env_unlock(env_rados(), lock);
}

static void *commit(void *arg)
{
    *(int *)arg = env_sync_dir(env_rados(), test_dir());
    return NULL;
}

START_TEST(a_renewal_without_an_answer_stops_nobody)
{
    if (!getenv("TEST_RADOS"))
        return;
    begin();
    make("before");
    atomic_store(&hold, true);
    ra.lock_exclusive = lock_exclusive;
    ck_soon(atomic_load(&waiting));
    make("a");
    read_back("before");
    ck_ok(env_rename(env_rados(), path("a"), path("b")));
    ck_ok(env_unlink(env_rados(), path("before")));
    ck_ok(env_sync_dir(env_rados(), test_dir()));
    read_back("b");
    ck_assert(atomic_load(&waiting));
    atomic_store(&hold, false);
    ck_soon(!atomic_load(&waiting));
    make("c"); /* it is not taken for fenced */
    end();
}
END_TEST

/* There are b and c, which was a: that is on its way, and not answered. */
static void begin_a_commit(pthread_t *t, int *rc)
{
    begin();
    make("a");
    make("b");
    ck_ok(env_sync_dir(env_rados(), test_dir()));
    ck_ok(env_rename(env_rados(), path("a"), path("c")));
    atomic_store(&hold, true);
    ra.write_op_operate2 = operate;
    ck_assert_int_eq(pthread_create(t, NULL, commit, rc), 0);
    ck_soon(atomic_load(&waiting));
}

START_TEST(a_commit_without_an_answer_stops_nobody_who_needs_none)
{
    pthread_t t;
    int rc;

    if (!getenv("TEST_RADOS"))
        return;
    begin_a_commit(&t, &rc);
    read_back("b");
    read_back("c");
    ck_ok(env_unlink(env_rados(), path("b")));
    ck_assert(!there("b"));
    atomic_store(&hold, false);
    pthread_join(t, NULL);
    ck_ok(rc);
    ck_ok(env_sync_dir(env_rados(), test_dir()));
    look_again();
    ck_assert(there("c") && !there("a") && !there("b"));
    end();
}
END_TEST

START_TEST(what_changes_while_a_commit_fails_is_kept_with_it)
{
    pthread_t t;
    int rc;

    if (!getenv("TEST_RADOS"))
        return;
    begin_a_commit(&t, &rc);
    ck_ok(env_rename(env_rados(), path("c"), path("d"))); /* of what is on its way */
    ck_ok(env_rename(env_rados(), path("b"), path("a")));
    atomic_store(&answer, -ECANCELED); /* as when another was quicker */
    atomic_store(&hold, false);
    pthread_join(t, NULL);
    ck_ok(rc);
    ck_ok(env_sync_dir(env_rados(), test_dir()));
    look_again();
    ck_assert(there("d") && there("a") && !there("b") && !there("c"));
    read_back("a");
    end();
}
END_TEST

TEST_MAIN("rados stuck", TEST_CASE(a_renewal_without_an_answer_stops_nobody),
          TEST_CASE(a_commit_without_an_answer_stops_nobody_who_needs_none),
          TEST_CASE(what_changes_while_a_commit_fails_is_kept_with_it))
#else
START_TEST(there_is_no_env_for_it)
{
    ck_assert(!env_for("rados:pool/store"));
}
END_TEST

TEST_MAIN("rados stuck", TEST_CASE(there_is_no_env_for_it))
#endif
