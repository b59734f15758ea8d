/*
 * test.h - what every test program shares: Check, a main, a seed, scratch room.
 *
 * A test program defines its cases and ends with TEST_MAIN(name, case, ...).
 * Random tests start from test_seed(), which is printed, and can be given back
 * in the environment: SEED=123 build/tests/test_x. CHECK=case runs one case. Cases that
 * go on for as long as they are given, and SOAK=1: soak.h.
 */
#ifndef TEST_H
#define TEST_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "lsm/coding.h"
#include "lsm/lock.h"
#include "lsm/lsm.h"
#include "tests/soak.h"

/*
 * Check's own tells the parent process of each assertion that holds, by a write: half
 * the time of a test that asks a million times. For a crash that means: gdb tells the
 * line, not Check.
 */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...)                                                         \
    ((expr) ? (void)0                                                                    \
            : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed",      \
                                ##__VA_ARGS__))

#define ck_ok(expr)                                                                      \
    do {                                                                                 \
        int ck_ok_rc = (expr);                                                           \
        ck_assert_msg(ck_ok_rc == 0, "%s: %s", #expr, strerror(-ck_ok_rc));              \
    } while (0)

#define ck_err(expr, want)                                                               \
    do {                                                                                 \
        int ck_err_rc = (expr);                                                          \
        ck_assert_msg(ck_err_rc == -(want), "%s: %d, not -%s", #expr, ck_err_rc, #want); \
    } while (0)

#define ck_slice_str(s, text)                                                            \
    ck_assert_msg(slice_eq((s), slice_str(text)), "got \"%.*s\", not \"%s\"",            \
                  (int)(s).len, (const char *)(s).data, (text))

/*
 * Asserts that expr gets true by and by, by the work of other threads. No test may count
 * on how soon that is: a machine may be busy, and the background is what gets the least
 * of it. Two minutes are given, counted in tries, as a process may stand still.
 */
#define ck_soon(expr)                                                                    \
    do {                                                                                 \
        unsigned ck_soon_tries = 0;                                                      \
        while (!(expr)) {                                                                \
            ck_assert_msg(++ck_soon_tries < 24000, "not in two minutes: %s", #expr);     \
            usleep(5000);                                                                \
        }                                                                                \
    } while (0)

/* This case cannot be tried here, and why: tests/run counts it as skipped. Then return. */
#define ck_skipped(why)                                                                  \
    do {                                                                                 \
        printf("SKIPPED %s: %s\n", __func__, (why));                                     \
        fflush(stdout);                                                                  \
    } while (0)

/* From SEED or the clock; printed once. */
uint64_t test_seed(void);

/* xorshift64*: *state must not be 0. */
uint64_t test_random(uint64_t *state);
static inline uint64_t test_below(uint64_t *state, uint64_t n)
{
    return n ? test_random(state) % n : 0;
}

/* A fresh directory on disk, removed when the program ends well; with TEST_RADOS=rados:POOL
 * a store there (tests/mount_rados.sh). */
const char *test_dir(void);

/* Collects err_log lines instead of printing them; test_log_has searches them. */
void test_log_capture(void);
bool test_log_has(const char *part);

enum test_when {
    TEST_NOT_IN_SOAK,
    TEST_NOT_UNDER_TSAN, /* nor in soak */
    TEST_ALWAYS,
    TEST_ONLY_IN_SOAK,
};

struct test_case {
    const TTest *tcase;
    int timeout_s;
    enum test_when when;
};

int test_main(const char *name, const struct test_case *cases, int n);

#define TEST_CASE(fn)                                                                    \
    {                                                                                    \
        .tcase = fn, .timeout_s = 300                                                    \
    }
#define TEST_CASE_SLOW(fn, s)                                                            \
    {                                                                                    \
        .tcase = fn, .timeout_s = (s)                                                    \
    }
/* Nothing in it for TSan: one thread does it all, or it looks for anything but races. */
#define TEST_CASE_ALONE(fn)                                                              \
    {                                                                                    \
        .tcase = fn, .timeout_s = 300, .when = TEST_NOT_UNDER_TSAN                       \
    }
/* It uses soak.h: time is what it is given, and more on a busy machine. */
#define TEST_CASE_SOAK(fn)                                                               \
    {                                                                                    \
        .tcase = fn, .timeout_s = 900, .when = TEST_ALWAYS                               \
    }
/* Only in `make soak`; any case that takes minutes. */
#define TEST_CASE_SOAK_ONLY(fn)                                                          \
    {                                                                                    \
        .tcase = fn, .timeout_s = 900, .when = TEST_ONLY_IN_SOAK                         \
    }
#define TEST_MAIN(name, ...)                                                             \
    int main(void)                                                                       \
    {                                                                                    \
        struct test_case cases[] = {__VA_ARGS__};                                        \
        return test_main(name, cases, (int)(sizeof(cases) / sizeof(cases[0])));          \
    }

#endif
