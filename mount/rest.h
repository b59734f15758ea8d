/*
 * rest.h - a filesystem of a store at rest, used by a command itself for a moment; and
 * STORE:/PATH, how an argument names what is in one.
 */
#ifndef MOUNT_REST_H
#define MOUNT_REST_H

#include <stdbool.h>

#include "../fs/fs.h"
#include "say.h"

/* The path of STORE:/PATH; NULL: that is no such word. */
const char *rest_path(const char *arg);
/* ... and the store, into `to`. */
int rest_store(const char *arg, const char *path, char to[], size_t size,
               struct why *why);

/* What is to be done with inode ino, of that path: 0, or -errno; in words by `why` of
 * whoever calls rest_use. */
typedef int rest_fn(void *arg, struct fs *fs, uint64_t ino);
/* Mount the filesystem in the store, find path in it, and call fn. */
int rest_use(const char *store, const char *path, bool read_only, rest_fn *fn, void *arg,
             const char *(*in_words)(int err), struct why *why);

#endif
