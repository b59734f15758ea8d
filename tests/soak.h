/*
 * soak.h - tests that could go on for ever: how long they do, and what they did.
 *
 * A case that draws its work at random repeats it until its time is over:
 *
 *     struct soak s;
 *
 *     for (soak_begin(&s); soak_on(&s);) {
 *         work from soak_seed(&s), counted in s.operations and the like
 *     }
 *     soak_end(&s);
 *
 * In `make test` a case has some seconds (fewer under sanitizers), in `make soak`
 * SOAK_SECONDS=n of the environment; ROUNDS=n does so many rounds instead. The first
 * round takes the seed of the program as it is, so that SEED=n ROUNDS=1 repeats any.
 *
 * Such cases stand in TEST_MAIN as TEST_CASE_SOAK; TEST_CASE_SOAK_ONLY is for what is
 * too long for `make test`. With SOAK=1 in the environment, as `make soak` has it, only
 * these run.
 *
 * When a case fails, however it ends, the program tells what the round was that it was
 * in: its seed and what soak_tell added.
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdbool.h>
#include <stdint.h>

enum { SOAK_NAME = 100 };

struct soak {
    char name[SOAK_NAME];
    unsigned rounds;
    uint64_t seed;
    uint64_t end_ns;
    uint64_t option_sets, operations, crashes; /* yours to count */
};

#define soak_begin(s) soak_begin_for(s, SOAK_SANITIZED ? 2 : 3)
/* In `make test` it has so many seconds. */
#define soak_begin_for(s, seconds) soak_begin_case(s, __func__, seconds)
void soak_begin_case(struct soak *s, const char *name, unsigned test_seconds);
/* Another round? */
bool soak_on(struct soak *s);
/* The same, but in `make test` there is one round, whatever time it takes. */
bool soak_once(struct soak *s);
/* Of this round. */
uint64_t soak_seed(const struct soak *s);
/* Told if this round fails, instead of what was last; printf's format. */
void soak_tell(const struct soak *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints the counts in one line, which tests/soak adds up. */
void soak_end(struct soak *s);

/* Where all is slower by an order: what is exhaustive may do each nth thing only. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SOAK_SANITIZED = true };
#else
enum { SOAK_SANITIZED = false };
#endif
#ifdef __SANITIZE_THREAD__
enum { SOAK_UNDER_TSAN = true };
#else
enum { SOAK_UNDER_TSAN = false };
#endif

/* ---- for test.c ---- */

/* Before the cases fork. */
void soak_init(void);
/* After they have run: tell of those that did not come to their end. */
void soak_tell_unfinished(void);

#endif
