/*
 * test_rados_two.c - a store on RADOS that two processes change, each its directory. With
 * TEST_RADOS=rados:POOL, on a cluster (`make rados`); else there is nothing to test.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsm/env_rados.h"

/* What the other one does: a directory of its own in the store that is told, locked for a
 * moment. librados survives no fork, so it begins before there is any. */
static int change_another_directory(int from)
{
    char store[2048], path[2100];
    struct env_lock *lock;
    ssize_t n = read(from, store, sizeof(store) - 1);
    int rc;

    if (n <= 0)
        return 1;
    store[n] = '\0';
    snprintf(path, sizeof(path), "%s/other", store);
    rc = env_mkdir(env_rados(), path);
    if (rc)
        return 2;
    snprintf(path, sizeof(path), "%s/other/LOCK", store);
    rc = env_lock(env_rados(), path, false, &lock);
    if (rc)
        return 3;
    env_unlock(env_rados(), lock);
    return 0;
}

START_TEST(what_one_has_open_without_a_name_another_does_not_remove)
{
    struct slice part = slice_str("some bytes");
    char path[2100], got[32];
    struct env_lock *lock;
    struct env_file *f;
    int to[2], status;
    size_t n;
    pid_t other;

    if (!getenv("TEST_RADOS"))
        return;
    ck_assert_int_eq(pipe(to), 0);
    other = fork();
    if (!other)
        _exit(change_another_directory(to[0]));
    snprintf(path, sizeof(path), "%s/LOCK", test_dir());
    ck_ok(env_lock(env_rados(), path, false, &lock));
    snprintf(path, sizeof(path), "%s/file", test_dir());
    ck_ok(env_open(env_rados(), path, ENV_CREATE, 0, &f));
    ck_ok(env_file_append(f, &part, 1));
    ck_ok(env_file_close(f));
    ck_ok(env_open(env_rados(), path, ENV_READ, 0, &f));
    ck_ok(env_unlink(env_rados(), path));
    ck_ok(env_sync_dir(env_rados(), test_dir()));
    ck_assert(write(to[1], test_dir(), strlen(test_dir())) > 0);
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert_int_eq(status, 0);
    ck_ok(env_file_pread(f, 0, got, sizeof(got), &n));
    ck_assert_uint_eq(n, part.len);
    ck_ok(env_file_close(f));
    env_unlock(env_rados(), lock);
}
END_TEST

TEST_MAIN("two processes on RADOS",
          TEST_CASE(what_one_has_open_without_a_name_another_does_not_remove))
