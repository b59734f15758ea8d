/*
 * scratch.h - a directory for a benchmark to work in, which does not outlive it.
 */
#ifndef BENCH_SCRATCH_H
#define BENCH_SCRATCH_H

#include <stddef.h>

/*
 * Make a new directory below `below`, path of it to `path`, and go on in a process of
 * one's own: the one that called waits for it, removes the directory and all that is in
 * it, whatever the end was (an error, Ctrl-C, SIGTERM), and ends in the same way. So
 * there must be no threads yet, and nothing to say or to write left after this call.
 * Ends the program when there can be no directory.
 */
void bench_scratch(const char *below, char *path, size_t cap);

#endif
