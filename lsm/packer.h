/*
 * packer.h - making the records of one append by two threads: who appends, and a second
 * one, which takes what the first has not come to. Compressing is a third of what a large
 * write costs; who has to wait for it anyway waits less.
 *
 * The second is woken for appends alone that are worth it, by one of those who append at
 * a time. Where it comes late, for want of a processor, the first has done the work.
 */
#ifndef LSM_PACKER_H
#define LSM_PACKER_H

#include "vlog_impl.h"

struct packer;

/* *out is NULL where this process has one processor: then all below do without a second
 * thread. It is started when it is first of use. -ENOMEM. */
int packer_new(struct packer **out);
void packer_free(struct packer *p); /* nobody builds any more; NULL is fine */

/* record_build of each of n values, want[i] for value[i]; the first error. */
int packer_build(struct packer *p, struct record *r, const struct slice *value,
                 const enum compression *want, unsigned n);

#endif
