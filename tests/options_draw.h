/*
 * options_draw.h - random, valid lsm_options, small enough that every path of the
 * engine is taken. The one place where options are drawn: a new one gets a line in
 * options_draw.c and is in every random test.
 *
 * A seed draws each option by itself, from the seed and the option's name: an option
 * that is added leaves the others of that seed as they were.
 */
#ifndef OPTIONS_DRAW_H
#define OPTIONS_DRAW_H

#include "lsm/lsm.h"

enum options_draw {
    DRAW_TINY = 1 << 0,       /* for loads of a hundred operations, not thousands */
    DRAW_NO_THREADS = 1 << 1, /* the same calls to the env each time; no timer */
    DRAW_THREADS = 1 << 2,    /* one worker at least */
};

/* env and what depends on what is in the directory (create: true) are left to you. */
void options_draw(struct lsm_options *o, uint64_t seed, unsigned how);

/* "name=value ..." of all that is drawn, for a failure's report. Returns text. */
enum { OPTIONS_TEXT = 1024 };
const char *options_text(const struct lsm_options *o, char text[OPTIONS_TEXT]);

/* The i-th number of OPTIONS=n,n,... in the environment; else one made of `from`. */
uint64_t options_seed(uint64_t from, unsigned i);

/* Is every field of struct lsm_options drawn here or known to be the caller's? If not,
 * *offset is where the first one stands. (Four bytes that may be padding are passed.) */
bool options_all_drawn(size_t *offset);

#endif
