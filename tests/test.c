/*
 * test.c - see test.h.
 */
#include "test.h"

#include "lsm/env_rados.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t test_seed(void)
{
    static uint64_t seed;
    const char *given = getenv("SEED");
    struct timespec t;

    if (seed)
        return seed;
    clock_gettime(CLOCK_REALTIME, &t);
    seed = given ? strtoull(given, NULL, 0)
                 : ((uint64_t)t.tv_sec * 1000000007 + (uint64_t)t.tv_nsec) ^
                       (uint64_t)getpid() << 32;
    if (!seed)
        seed = 1;
    printf("SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

uint64_t test_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1Dull;
}

static char dir[64];
static pid_t dir_owner;

static void remove_dir(void)
{
    char cmd[128];

    if (getpid() != dir_owner)
        return;
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
    if (system(cmd) != 0)
        fprintf(stderr, "could not remove %s\n", dir);
}

const char *test_dir(void)
{
    if (dir[0])
        return dir;
    if (getenv("TEST_RADOS")) {
        snprintf(dir, sizeof(dir), "%s/test-%d", getenv("TEST_RADOS"), (int)getpid());
        if (env_mkdir(env_for(dir), dir))
            ck_abort_msg("%s cannot be made", dir);
        return dir; /* the cluster goes as a whole */
    }
    strcpy(dir, "/tmp/siltfs-test-XXXXXX");
    if (!mkdtemp(dir))
        ck_abort_msg("mkdtemp failed");
    dir_owner = getpid();
    atexit(remove_dir);
    return dir;
}

static struct buf captured;
static struct mutex captured_mu;

static void capture(void *arg, const char *line)
{
    (void)arg;
    pthread_mutex_lock(&captured_mu.m);
    buf_append(&captured, line, strlen(line));
    buf_append(&captured, "\n", 1);
    pthread_mutex_unlock(&captured_mu.m);
}

void test_log_capture(void)
{
    mutex_init(&captured_mu, LOCK_LOG);
    buf_clear(&captured);
    err_set_sink(capture, NULL);
}

bool test_log_has(const char *part)
{
    bool has;

    pthread_mutex_lock(&captured_mu.m);
    has = captured.len && memmem(captured.data, captured.len, part, strlen(part));
    pthread_mutex_unlock(&captured_mu.m);
    return has;
}

static bool is_due(enum test_when when, bool in_soak)
{
    switch (when) {
    case TEST_NOT_IN_SOAK:
        return !in_soak;
    case TEST_NOT_UNDER_TSAN:
        return !in_soak && !SOAK_UNDER_TSAN;
    case TEST_ALWAYS:
        return true;
    case TEST_ONLY_IN_SOAK:
        return in_soak;
    }
    return false;
}

int test_main(const char *name, const struct test_case *cases, int n)
{
    Suite *suite = suite_create(name);
    const char *only = getenv("CHECK");
    bool in_soak = getenv("SOAK");
    SRunner *runner;
    int i, failed;

    test_seed(); /* before the cases fork, so that all have the same */
    soak_init();
    for (i = 0; i < n; i++) {
        TCase *tc;

        if (!is_due(cases[i].when, in_soak) ||
            (only && !strstr(cases[i].tcase->name, only)))
            continue;
        tc = tcase_create(cases[i].tcase->name);
        tcase_set_timeout(tc, cases[i].timeout_s * (SOAK_SANITIZED ? 4 : 1));
        tcase_add_test(tc, cases[i].tcase);
        suite_add_tcase(suite, tc);
    }
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    soak_tell_unfinished();
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
