/*
 * samples.h - metrics in Prometheus' text format, as `.siltfs/metrics` has them, read
 * back.
 */
#ifndef MOUNT_SAMPLES_H
#define MOUNT_SAMPLES_H

#include <stddef.h>

#include "../lsm/lsm.h"

struct sample {
    const char *name;
    const char *label; /* the value of its last label but "store"; "" */
    double value;
};

struct samples {
    struct buf text; /* what the names point into */
    struct sample *list;
    size_t n, cap;
};

/* Read the file; what was in s before goes. 0 or -errno. */
int samples_read(struct samples *s, const char *path);
void samples_release(struct samples *s);
/* 0 when there is none. */
double sample_of(const struct samples *s, const char *name, const char *label);

#endif
