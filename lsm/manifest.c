/*
 * manifest.c - see manifest.h.
 *
 * CURRENT is one line: the manifest's name, a length, and the xxh3 of both as
 * hex. The length is what a clean end left in the manifest; 0 while it grows.
 * Each edit is synced before the next one is written, so a bad frame that is
 * followed by a good one is damage, and a bad last frame is an edit whose
 * consequences (files deleted) had not begun.
 */
#include "manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "err.h"
#include "hash.h"
#include "kill.h"
#include "names.h"
#include "wal.h"

enum { CURRENT_MAX = 256 };

struct manifest {
    struct env *env;
    char *dir;
    struct wal *log;
    uint64_t number;
};

/* ---- CURRENT ---- */

static void current_line(char line[CURRENT_MAX + 32], uint64_t number, uint64_t length)
{
    char body[CURRENT_MAX], name[NAME_BYTES];

    file_name(name, FILE_MANIFEST, number);
    snprintf(body, sizeof(body), "%s %" PRIu64, name, length);
    snprintf(line, CURRENT_MAX + 32, "%s %016" PRIx64 "\n", body,
             hash_bytes(body, strlen(body), 0));
}

/* *pointed: CURRENT names that manifest now, or may. */
static int write_current(struct env *env, const char *dir, uint64_t number,
                         uint64_t length, bool *pointed)
{
    char line[CURRENT_MAX + 32];
    char *tmp = file_path(dir, FILE_TEMP, number),
         *path = file_path(dir, FILE_CURRENT, 0);
    struct env_file *f = NULL;
    struct slice part;
    int rc = -ENOMEM;

    *pointed = false;
    if (!tmp || !path)
        goto out;
    current_line(line, number, length);
    part = slice_str(line);
    rc = env_unlink(env, tmp); /* of an earlier crash */
    if (rc && rc != -ENOENT)
        goto out;
    rc = env_open(env, tmp, ENV_CREATE, 0, &f);
    if (!rc)
        rc = env_file_append(f, &part, 1);
    if (!rc)
        rc = env_file_sync(f);
    if (f) {
        int close_rc = env_file_close(f);

        rc = rc ? rc : close_rc;
    }
    KILL_POINT("current-written");
    if (!rc) {
        rc = env_rename(env, tmp, path);
        *pointed = rc != -ENOSPC;
    }
    KILL_POINT("current-renamed");
    if (!rc)
        rc = env_sync_dir(env, dir);
out:
    free(tmp);
    free(path);
    return rc;
}

/* Good is only what we would write: in hex, say, a flipped bit makes no other letter. */
static int parse_current(const char *path, const char *line, uint64_t *number,
                         uint64_t *length)
{
    char name[CURRENT_MAX], want[CURRENT_MAX + 32];

    if (sscanf(line, "%255s %" SCNu64, name, length) != 2 ||
        file_parse(name, number) != FILE_MANIFEST)
        return err_corrupt(path, 0, "not a pointer to a manifest");
    current_line(want, *number, *length);
    return strcmp(line, want) == 0 ? 0 : err_corrupt(path, 0, "checksum mismatch");
}

static int read_current(struct env *env, const char *dir, uint64_t *number,
                        uint64_t *length)
{
    char line[CURRENT_MAX + 1];
    char *path = file_path(dir, FILE_CURRENT, 0);
    struct env_file *f = NULL;
    size_t got;
    int rc;

    if (!path)
        return -ENOMEM;
    rc = env_open(env, path, ENV_READ, 0, &f);
    if (!rc)
        rc = env_file_pread(f, 0, line, CURRENT_MAX, &got);
    if (!rc) {
        line[got] = 0;
        rc = strlen(line) == got ? parse_current(path, line, number, length)
                                 : err_corrupt(path, 0, "not a pointer to a manifest");
    }
    env_file_close(f);
    free(path);
    return rc;
}

/* ---- reading ---- */

struct reading {
    manifest_fn *fn;
    void *arg;
    const char *path;
    unsigned edits;
};

static int read_edit(void *arg, struct slice payload, uint64_t end)
{
    struct reading *r = arg;
    struct edit e = {0};
    int rc = edit_decode(payload, &e);

    if (rc == -EUCLEAN)
        return err_corrupt(r->path, end, "an edit that ends here makes no sense");
    if (rc == -EPROTONOSUPPORT)
        err_log("%s: an edit of a newer format", r->path);
    if (rc)
        return rc;
    r->edits++;
    rc = r->fn(r->arg, &e, r->path);
    edit_release(&e);
    return rc;
}

int manifest_read(struct env *env, const char *dir, manifest_fn *fn, void *arg,
                  uint64_t *number, uint64_t *length)
{
    struct reading r = {.fn = fn, .arg = arg};
    struct wal_replay replay = {0};
    uint64_t clean_length;
    char *path;
    int rc = read_current(env, dir, number, &clean_length);

    if (rc)
        return rc;
    path = file_path(dir, FILE_MANIFEST, *number);
    if (!path)
        return -ENOMEM;
    r.path = path;
    replay.number = *number;
    rc = wal_replay(env, path, &replay, read_edit, &r);
    if (rc == -ENOENT)
        rc = err_corrupt(path, 0, "CURRENT names it, and it is missing");
    /* CURRENT is pointed to a manifest only when its first edit is durable. */
    if (!rc && !r.edits)
        rc = err_corrupt(path, replay.length, "the manifest's first edit is damaged");
    if (!rc && replay.length < clean_length)
        rc = err_corrupt(path, replay.length, "the manifest is cut short");
    *length = replay.length;
    free(path);
    return rc;
}

/* ---- writing ---- */

int manifest_create(struct env *env, const char *dir, uint64_t number,
                    const struct edit *snapshot, struct manifest **out)
{
    struct manifest *m = calloc(1, sizeof(*m));
    char *path = file_path(dir, FILE_MANIFEST, number);
    struct wal_create c = {.env = env, .path = path, .number = number};
    bool pointed = false;
    int rc = -ENOMEM;

    if (!m || !path)
        goto out;
    m->env = env;
    m->number = number;
    m->dir = strdup(dir);
    if (!m->dir)
        goto out;
    rc = wal_create(&c, &m->log);
    if (!rc)
        rc = manifest_append(m, snapshot);
    if (!rc)
        rc = env_sync_dir(env, dir);
    KILL_POINT("manifest-created");
    if (!rc)
        rc = write_current(env, dir, number, 0, &pointed);
    /* On a full disk each try would leave one more. */
    if (rc && m->log && !pointed)
        env_unlink(env, path);
out:
    free(path);
    if (rc)
        manifest_close(m, false);
    else
        *out = m;
    return rc;
}

int manifest_append(struct manifest *m, const struct edit *e)
{
    struct buf b = {0};
    struct slice part;
    uint64_t end;
    int rc;

    edit_encode(&b, e);
    rc = buf_error(&b);
    if (!rc) {
        part = buf_slice(&b);
        rc = wal_append(m->log, &part, 1, &end);
        KILL_POINT("edit-unsynced");
    }
    if (!rc)
        rc = wal_sync(m->log);
    buf_release(&b);
    return rc;
}

uint64_t manifest_number(const struct manifest *m)
{
    return m->number;
}

uint64_t manifest_bytes(const struct manifest *m)
{
    return wal_length(m->log);
}

int manifest_close(struct manifest *m, bool clean)
{
    uint64_t length;
    bool pointed;
    int rc = 0;

    if (!m)
        return 0;
    if (m->log) {
        length = wal_length(m->log);
        rc = wal_close(m->log, true);
        if (!rc && clean)
            rc = write_current(m->env, m->dir, m->number, length, &pointed);
    }
    free(m->dir);
    free(m);
    return rc;
}
