/*
 * heap.h - how a daemon's malloc keeps what was freed: little of it.
 */
#ifndef MOUNT_HEAP_H
#define MOUNT_HEAP_H

/* Once, before there are other threads. */
void heap_configure(void);

#endif
