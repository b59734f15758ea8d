/*
 * fs.h - what the parts of build/bench-fs share: what is asked, and where figures go.
 *
 * fs.c takes the arguments and runs the parts: fs_meta.c (many small files), fs_fio.c
 * (fio's jobs) and fs_tree.c (tools on trees). Each knows nothing of what
 * filesystem it is on.
 */
#ifndef BENCH_FS_H
#define BENCH_FS_H

#include "bench.h"

struct fs_config {
    const char *dir; /* everything is made in a new directory below it, and removed */
    unsigned files, threads, rounds;
    size_t bytes; /* of a file */
    bool warm;    /* the reading phases as they come: the kernel knows what was written */
    bool cold;    /* the reading phases with empty caches */
    const char
        *remount;      /* shell command that empties the caches of what is at dir, for
                        * systems that have some of their own; NULL: the kernel's only */
    const char *space; /* shell command that prints the bytes of disk in use; or NULL */
    const char *tree;  /* a directory to copy for the tree work */
    unsigned mib;      /* of fio's files */
    unsigned seconds;  /* of fio's random jobs, each */
};

/* A figure: median of the rounds. part and phase are stable names ("meta", "create"),
 * `variant` says what else was different ("warm", "4k jobs=4"). */
struct fs_result {
    const char *part, *phase;
    char variant[40];
    const char *unit;
    double value;
    double p50_us, p99_us, max_us; /* 0: not measured */
};

/* Prints a line of the table, and remembers the figure for --json. */
void fs_result_add(const struct fs_result *r);

void fs_meta(const struct fs_config *c, const char *dir);
void fs_fio(const struct fs_config *c, const char *dir);
void fs_tree(const struct fs_config *c, const char *dir);
void fs_many(const struct fs_config *c, const char *dir);

/* c->bytes bytes of text, another for each i: words, that compress as prose does. */
const char *fs_content(const struct fs_config *c, unsigned i);

/* Empty all caches; the program must have nothing open below dir. Ends the program when
 * it may not. */
void fs_go_cold(const struct fs_config *c);
/* A shell command, which must succeed; returns its seconds. */
double fs_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Is there such a program? */
bool fs_has_program(const char *name);
double fs_median(double *values, unsigned n);

#endif
