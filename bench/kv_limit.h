/*
 * kv_limit.h - reading with less memory than the store is large.
 */
#ifndef BENCH_KV_LIMIT_H
#define BENCH_KV_LIMIT_H

#include "kv_run.h"

/*
 * Fill s and bring it to rest in a process of its own, whose memory does not count; have
 * the kernel forget its files; join the control group (a directory), which limits what
 * this process and the kernel's pages of what it reads may take; and open s. Not again
 * after that: the group is not left.
 */
void kv_fill_then_join(struct kv_store *s, const char *cgroup);

#endif
