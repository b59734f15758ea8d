/*
 * fs_dump.h - a mounted tree as lines, to compare it with what it was.
 */
#ifndef FS_DUMP_H
#define FS_DUMP_H

#include "fs/fs.h"

struct dump_line {
    char *path; /* "/a/b"; "/" */
    uint64_t ino;
    uint64_t nlink;
    bool is_dir;
    char *facts; /* mode, owner, size, blocks, times but atime, device, target, contents
                    and attributes, as text */
};

/* A zeroed one is empty. Sorted by path. */
struct dump {
    struct dump_line *line;
    size_t n, cap;
};

/* All that can be reached from the root. Every call must succeed. */
void dump_take(struct fs *fs, struct dump *d);
void dump_release(struct dump *d);

/* NULL: there is none. */
const struct dump_line *dump_find(const struct dump *d, const char *path);
/* Any of its names. */
const struct dump_line *dump_find_ino(const struct dump *d, uint64_t ino);

#endif
