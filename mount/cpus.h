/*
 * cpus.h - the processors that this process may use, and which of them a thread stays on.
 * Nothing here fails in a way that matters: a thread that cannot be bound goes on where
 * the scheduler puts it.
 */
#ifndef MOUNT_CPUS_H
#define MOUNT_CPUS_H

#include <stdbool.h>

/* Once, before threads are bound: those that this thread may use are all there are. */
void cpus_learn(void);
unsigned cpus_count(void);

/* Bind this thread to a processor by the kernel's number; false: not ours, or gone. */
bool cpus_bind(int cpu);
/* To the i-th of ours. */
void cpus_bind_nth(unsigned i);
/* To any of ours. */
void cpus_unbind(void);

#endif
