/*
 * crash_load.h - a scripted load for crash tests: puts, batches, large values, range
 * deletes, shares, transactions, flushes, compactions, syncs, reopening, checkpoints;
 * and the question whether what a disk holds is the state after one of its steps.
 *
 * The same seed and options give the same steps, whatever fails; with workers == 0 and
 * no timer also the same calls to the env. A load that a crash ended can go on in what
 * the crash left.
 */
#ifndef CRASH_LOAD_H
#define CRASH_LOAD_H

#include "tests/env_mem.h"
#include "tests/test.h"

enum {
    CRASH_KEYS = 24,
    CRASH_STEPS = 110,
    CRASH_VALUE_MAX = 3000,
    CRASH_CHECKPOINTS = 3,
    CRASH_TEXTS = 100,
    CRASH_TEXT = 400, /* bytes of each */
};

/* What a key holds after a step: the number of the write, 0 for nothing, and
 * which part of its value. */
struct crash_cell {
    int write, off, len;
};

struct crash_checkpoint {
    int step;          /* whose state it has; -1: never begun */
    bool acknowledged; /* so it is there for good */
};

struct crash_load {
    struct env *env;
    struct lsm_options o;
    /* Draw other options at each opening, by options_draw(how), beginning with this
     * seed; 0: keep o. */
    uint64_t redraw;
    unsigned how;
    unsigned opened; /* times */
    struct lsm *db;
    uint64_t seed;
    int done;   /* steps acknowledged; history[done] is the state after them */
    int tried;  /* steps begun */
    int synced; /* steps known durable */
    int error;  /* what ended the run; 0: nothing */
    struct crash_cell history[CRASH_STEPS + 1][CRASH_KEYS];
    struct crash_checkpoint checkpoint[CRASH_CHECKPOINTS];
    bool text; /* also CRASH_TEXTS more keys, written by the first step and never again: a
                  text that dictionaries pay for */
    unsigned transactions; /* committed */
    unsigned failed;       /* steps that crash_run_on passed over */
    unsigned read_only;    /* times that it found the store so */
    /* Called with the store open (db) after each opening and step, and after the close
     * at the end (db is NULL); may be NULL. */
    void (*stepped)(struct crash_load *l);
};

/* In a new env_mem; o's env is not looked at. */
void crash_begin(struct crash_load *l, uint64_t seed, const struct lsm_options *o);
/* Open the store and go on from l->done to the end, or to the first call that fails.
 * True when the end was reached and the store closed. */
bool crash_run(struct crash_load *l);
/*
 * As crash_run, but a step that fails is passed over: the store must hold what it held
 * before it, or what it should hold after it, and goes on; when it has become read-only
 * it must stay so, tells why, and is closed and opened again. `cleared` (may be NULL) is
 * called before a store that does not open is tried again: then it must.
 */
void crash_run_on(struct crash_load *l, void (*cleared)(struct crash_load *l));
/* After a crash: the step whose state env holds, which must be at least `least`; the
 * store must be sound and usable. Writes to env. */
int crash_check(struct crash_load *l, struct env *env, int least);
/* As a disk may be after the crash now. What of the load the crash may take is what
 * the mode says: at least *least steps must be found. */
struct env *crash_clone(struct crash_load *l, uint64_t seed, enum env_mem_crash mode,
                        int *least);
/* Go on in `after` (taken), from that step. */
void crash_resume(struct crash_load *l, struct env *after, int step);
void crash_release(struct crash_load *l);

#endif
