/*
 * heap.h - how a daemon's malloc keeps what was freed: little of it.
 */
#ifndef MOUNT_HEAP_H
#define MOUNT_HEAP_H

/* Once, before there are other threads. */
void heap_configure(void);
/* As well, of a store on RADOS: librados takes a buffer for each object's worth that it
 * sends or gets, and is to get it from what was freed before. */
void heap_keep_objects(void);

#endif
