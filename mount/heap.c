/*
 * heap.c - see heap.h.
 *
 * glibc would make eight heaps a processor, one for each thread while there are that
 * many, and none takes what another has free. A daemon's threads wait most of the time;
 * no more run than there are processors.
 *
 * And it would keep in them any size that was freed once, up to 32 MiB: the buffers of
 * requests, of threads that come and go. They get mappings of their own.
 */
#include "heap.h"

#include <malloc.h>
#include <unistd.h>

enum {
    ARENAS_A_CPU = 2,
    MAP_FROM = 1 << 20,    /* below: what a compaction wants again and again */
    KEEP_AT_END = 2 << 20, /* free at the end of a heap; the rest is given back */
    /* With objects of 4 MiB on their way; env_rados gives back what is free when nothing is. */
    OBJECTS_MAP_FROM = 8 << 20,
    OBJECTS_KEEP_AT_END = 64 << 20,
};

void heap_configure(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    mallopt(M_ARENA_MAX, (int)(cpus > 1 ? cpus : 1) * ARENAS_A_CPU);
    mallopt(M_MMAP_THRESHOLD, MAP_FROM);
    mallopt(M_TRIM_THRESHOLD, KEEP_AT_END);
}

void heap_keep_objects(void)
{
    mallopt(M_MMAP_THRESHOLD, OBJECTS_MAP_FROM);
    mallopt(M_TRIM_THRESHOLD, OBJECTS_KEEP_AT_END);
}
