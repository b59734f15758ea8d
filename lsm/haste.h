/*
 * haste.h - how closely LZ4 looks for repeats, learned from the data: pure policy.
 *
 * LZ4 looks at every byte, or at each fourth first and the bytes around it where that
 * gives a repeat. In data whose repeats are long both find the same, and the second takes
 * less than half of the time; in text it misses a tenth. So some pieces are compressed in
 * both ways, and the quick one is taken for the next as long as it loses no more than a
 * 32nd. One for each thread: what follows each other there is likely to be alike.
 */
#ifndef LSM_HASTE_H
#define LSM_HASTE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HASTE_STEP = 4,   /* LZ4's acceleration when quick */
    HASTE_MIN = 4096, /* bytes of a piece: less says little, and takes no time; */
    HASTE_MAX = 16384 /* more would want memory to be tried */
};

/* Zeroed: nothing known, so the first piece is tried. */
struct haste {
    bool quick;
    unsigned since;  /* pieces since the last that was tried */
    unsigned shrunk; /* to so many 256ths, by that one */
    bool known;
};

/* A piece of len bytes became packed ones (0: it did not shrink) in the way that h->quick
 * says. Is it to be compressed in the other way as well? Then tell what came of it. */
bool haste_try(struct haste *h, size_t len, size_t packed);
/* Bytes of either way, 0 for one that did not shrink. Sets h->quick. */
void haste_learn(struct haste *h, size_t len, size_t close, size_t quick);

#endif
