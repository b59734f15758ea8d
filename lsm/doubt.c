/*
 * doubt.c - see doubt.h.
 */
#include "doubt.h"

#include <stdlib.h>

#include "err.h"
#include "kill.h"

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

/* The first `bytes` of one to the append position of the other. */
static int copy_bytes(struct env_file *from, struct env_file *to, uint64_t bytes)
{
    uint8_t *piece = malloc(PIECE);
    uint64_t at = 0;
    size_t got = 1;
    int rc = piece ? 0 : -ENOMEM;

    while (!rc && got && at < bytes) {
        struct slice part;

        rc = env_file_pread(from, at, piece,
                            bytes - at < PIECE ? (size_t)(bytes - at) : PIECE, &got);
        part = slice_of(piece, got);
        if (!rc)
            rc = env_file_append(to, &part, 1);
        at += got;
    }
    free(piece);
    return rc;
}

static int copy_file(struct env *env, const char *path, const char *copy, uint64_t bytes)
{
    struct env_file *from = NULL, *to = NULL;
    int rc = env_open(env, path, ENV_READ, 0, &from), close_rc;

    if (!rc)
        rc = env_open(env, copy, ENV_CREATE, 0, &to);
    if (!rc)
        rc = copy_bytes(from, to, bytes);
    if (!rc)
        rc = env_file_sync(to);
    env_file_close(from); /* only read */
    close_rc = env_file_close(to);
    return rc ? rc : close_rc;
}

/* A crash on the way finds the file as it was, or all of the copy. */
static int replace(struct env *env, const char *path, const char *copy, uint64_t bytes)
{
    int rc = env_unlink(env, copy), undo_rc; /* of an earlier crash */

    if (rc && rc != -ENOENT)
        return rc;
    rc = copy_file(env, path, copy, bytes);
    KILL_POINT("doubt-copied");
    if (!rc)
        rc = env_rename(env, copy, path);
    if (rc && (undo_rc = env_unlink(env, copy)) && undo_rc != -ENOENT)
        err_log("%s: left over: %s", copy, strerror(-undo_rc)); /* the next opening's */
    return rc;
}

/* A crash on the way finds the same bytes, whichever of them were written. */
static int write_in_place(struct env *env, const char *path, uint64_t bytes)
{
    struct env_file *f;
    int rc = env_open(env, path, ENV_REUSE, 0, &f), close_rc;

    if (rc)
        return rc;
    err_log("%s: a sync failed, and there is no room for a copy: written again where it "
            "is, which may not last",
            path);
    rc = copy_bytes(f, f, bytes);
    if (!rc)
        rc = env_file_sync(f);
    close_rc = env_file_close(f);
    return rc ? rc : close_rc;
}

static int write_again(struct env *env, const char *path, const char *copy,
                       uint64_t bytes)
{
    int rc = replace(env, path, copy, bytes);

    return rc == -ENOSPC ? write_in_place(env, path, bytes) : rc;
}

static int sync_found(struct env *env, const char *path)
{
    struct env_file *f;
    int rc = env_open(env, path, ENV_READ, 0, &f), close_rc;

    if (rc)
        return rc;
    rc = env_file_sync(f);
    close_rc = env_file_close(f);
    return rc ? rc : close_rc;
}

int doubt_sync(struct env *env, const char *dir, const struct doubt_file *f, bool again)
{
    char *path = file_path(dir, f->kind, f->number);
    char *copy = file_path(dir, FILE_TEMP, f->number);
    int rc = path && copy ? 0 : -ENOMEM;

    if (!rc && again &&
        !env->appends_in_memory) /* no doubt there, whoever made the note */
        rc = write_again(env, path, copy, f->bytes);
    else if (!rc)
        rc = sync_found(env, path);
    free(path);
    free(copy);
    return rc;
}
