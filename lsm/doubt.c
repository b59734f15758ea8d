/*
 * doubt.c - see doubt.h.
 */
#include "doubt.h"

#include <stdlib.h>

#include "err.h"
#include "names.h"

enum { PIECE = 1 << 20 };

void doubt_note(struct env *env, const char *dir)
{
    char *path = file_path(dir, FILE_DOUBT, 0);
    char *reserve = file_path(dir, FILE_RESERVE, 0);
    struct env_file *f = NULL;
    int rc = path && reserve ? 0 : -ENOMEM;

    if (!rc && !env->appends_in_memory)
        rc = env_open(env, path, ENV_CREATE, 0, &f);
    /* Want of room, which may be why the sync failed, is no reason to do without. */
    if (rc && rc != -EEXIST && reserve && env_rename(env, reserve, path) == 0)
        rc = 0;
    if (rc && rc != -EEXIST)
        err_log("%s: it cannot be noted that a sync failed: %s", dir, strerror(-rc));
    env_file_close(f); /* what is in it says nothing */
    free(reserve);
    free(path);
}

bool doubt_is_noted(struct env *env, const char *dir)
{
    char *path = file_path(dir, FILE_DOUBT, 0);
    uint64_t size;
    bool is = !path || env_stat(env, path, &size) == 0;

    free(path);
    return is;
}

/* A crash on the way finds the same bytes, whichever of them were written. */
static int write_again(struct env_file *f, uint64_t bytes)
{
    uint8_t *piece = malloc(PIECE);
    uint64_t at = 0;
    size_t got = 1;
    int rc = piece ? 0 : -ENOMEM;

    while (!rc && got && at < bytes) {
        struct slice part;

        rc = env_file_pread(f, at, piece,
                            bytes - at < PIECE ? (size_t)(bytes - at) : PIECE, &got);
        part = slice_of(piece, got);
        if (!rc)
            rc = env_file_append(f, &part, 1);
        at += got;
    }
    free(piece);
    return rc;
}

int doubt_sync(struct env *env, const char *path, uint64_t bytes, bool again)
{
    struct env_file *f;
    int rc, close_rc;

    again = again && !env->appends_in_memory; /* no doubt, whoever made the note */
    rc = env_open(env, path, again ? ENV_REUSE : ENV_READ, 0, &f);
    if (rc)
        return rc;
    if (again)
        rc = write_again(f, bytes);
    if (!rc)
        rc = env_file_sync(f);
    close_rc = env_file_close(f);
    return rc ? rc : close_rc;
}
