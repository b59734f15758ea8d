/*
 * files.h - the files of a store that nobody writes to, as those see them who carry them
 * elsewhere.
 */
#ifndef MOUNT_FILES_H
#define MOUNT_FILES_H

#include <limits.h>
#include <time.h>
#include <xxhash.h>

#include "../lsm/lsm.h"
#include "say.h"

enum {
    FILES_NAME = 40,       /* with its NUL, as struct lsm_damage has it */
    FILES_BLOCK = 1 << 20, /* read and written at once */
    FILES_TAIL = 64 << 10, /* last bytes that tell two files apart */
};

struct file {
    char name[FILES_NAME];
    uint64_t size;
    bool immutable; /* a table or segment */
    bool summed;    /* sum is told */
    bool placed;    /* it is where it was to be brought */
    XXH128_hash_t sum;
    uint64_t ino; /* with mtime_ns: while it exists no other file on its disk has both */
    int64_t mtime_ns;
};

struct files {
    struct lsm *db; /* open to read: nobody writes to it meanwhile */
    char dir[PATH_MAX];
    struct file *file; /* by name */
    size_t n, cap;
    uint64_t bytes;
};

/* Of the store in path. files_close in any case. */
int files_open(struct files *f, const char *path, struct why *why);
void files_close(struct files *f);
/* One more; files_sort after the last, before files_find. -EUCLEAN: too long a name. */
int files_add(struct files *f, const char *name, uint64_t size, struct file **out);
void files_sort(struct files *f);
/* NULL: none of that name. */
struct file *files_find(const struct files *f, const char *name);

/*
 * SUMS, beside the files of a store that was carried: "XXH128 SIZE NAME INO MTIME", a
 * line each; the last two of the file that it was copied from, 0 when it came by a
 * stream.
 */
#define SUMS_NAME "SUMS"
/* fn's first non-zero result ends it and is returned. */
typedef int file_fn(void *arg, const struct file *f);
int files_read_sums(const char *dir, file_fn *fn, void *arg);
int files_write_sums(const struct files *f, const char *dir);

/* ---- in a directory, which may be one on RADOS ---- */

/* To read, a regular file that is no symbolic link. */
int open_file(const char *dir, const char *name, struct env_file **f);
/* To write, a new one: -EEXIST. It belongs to whom the directory does, as the engine's.
 */
int make_file(const char *dir, const char *name, struct env_file **f);
/* A new one with these bytes, synced; one that is there is removed first. */
int write_file(const char *dir, const char *name, struct slice bytes);
int remove_file(const char *dir, const char *name);
int link_file(const char *from_dir, const char *dir, const char *name);
int rename_file(const char *dir, const char *from, const char *to);
/* All of them. */
int remove_files(const char *dir);
/* All of it or an error: -ESTALE when the file ends before. */
int read_at(struct env_file *f, uint64_t off, void *to, size_t len);
int append(struct env_file *f, const void *from, size_t len);
/* The XXH3 of the last FILES_TAIL bytes. */
int tail_sum(struct env_file *f, uint64_t size, uint64_t *sum);
/* The XXH3 of all. */
int hash_file(struct env_file *f, uint64_t size, XXH128_hash_t *out);
/* Is it there in dir, with that size, and that tail? */
bool file_has_size(const char *dir, const char *name, uint64_t size);
bool file_is(const char *dir, const char *name, uint64_t size, uint64_t tail);
/* What tells this very file from all others of its name: as in struct file. */
int file_identity(const char *dir, const char *name, uint64_t *ino, int64_t *mtime_ns);

/* Is there something of that path? 1, 0, or an error. */
int path_there(const char *path);
/* Is it a directory, and no symbolic link to one? */
bool is_directory(const char *path);
/* When the store in dir was made, which is the time of its CURRENT. */
int made_when(const char *dir, struct timespec *t);
int set_made(const char *dir, const struct timespec *t);
/* Make the directory that holds path keep what names it has. */
int sync_parent(const char *path);
/* The same of a directory that may be new, and of one in it; on a directory that cannot be
 * read, where the first was already, it does without. */
int names_last(const char *top, const char *inner);

#endif
