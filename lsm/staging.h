/*
 * staging.h - a directory that gets its name when it is whole: built as PATH and a
 * suffix, renamed in the end. What a crash leaves is taken over by the next attempt.
 */
#ifndef LSM_STAGING_H
#define LSM_STAGING_H

#include "env.h"

struct staging {
    struct env *env;
    char *path;
    char *tmp;   /* where it is built */
    bool opened; /* in use as a store meanwhile: it may have what an open one has */
};

/*
 * An empty s->tmp. -EEXIST when there is a path, or something in tmp that is not ours.
 * staging_release in any case.
 */
int staging_begin(struct staging *s, struct env *env, const char *path,
                  const char *suffix);
/* Its name; lasting, contents and all, if those were synced. */
int staging_commit(struct staging *s);
/* Instead, or after a failed commit: as much of tmp goes as can. */
int staging_drop(struct staging *s);
void staging_release(struct staging *s);

#endif
