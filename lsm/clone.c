/*
 * clone.c - a second store of the files of one at rest, and a store put back to what a
 * checkpoint of it holds. See lsm_clone and lsm_rollback in lsm.h.
 *
 * Both only make links. No file of a store at rest is ever changed, by whomever it is
 * opened: tables and segments never are, the logs and the manifest that an open finds
 * it replaces by new ones, and only logs that it began itself are recycled.
 */
#include <stdio.h>
#include <stdlib.h>

#include "db_impl.h"
#include "doubt.h"
#include "staging.h"

enum { COPY_BYTES = 1 << 20 };

struct clone {
    const struct lsm *db; /* that must be made durable; NULL: whoever opens it does that */
    bool doubt;
    struct env *env, *to_env;
    const char *from, *to; /* directories */
    uint64_t done, total;
    lsm_progress_fn *progress;
    void *arg;
};

/* ---- one file ---- */

static int copy_bytes(struct clone *c, struct env_file *in, struct env_file *out,
                      uint64_t size)
{
    uint8_t *block = malloc(COPY_BYTES);
    uint64_t at = 0;
    int rc = block ? 0 : -ENOMEM;

    while (!rc && at < size) {
        size_t want = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES, got = 0;
        struct slice part;

        rc = env_file_pread(in, at, block, want, &got);
        if (!rc && !got)
            rc = err_corrupt(c->from, at, "a file became shorter while it was copied");
        part = slice_of(block, got);
        if (!rc)
            rc = env_file_append(out, &part, 1);
        at += got;
        c->done += got;
        if (!rc && c->progress)
            rc = c->progress(c->arg, c->done, c->total, 0);
    }
    free(block);
    return rc ? rc : env_file_sync(out);
}

static int copy_file(struct clone *c, const char *from, const char *to, uint64_t size)
{
    struct env_file *in = NULL, *out = NULL;
    int rc = env_open(c->env, from, ENV_READ, 0, &in), rc2;

    if (!rc)
        rc = env_open(c->to_env, to, ENV_CREATE, 0, &out);
    if (!rc)
        rc = copy_bytes(c, in, out, size);
    env_file_close(in);
    rc2 = env_file_close(out);
    return rc ? rc : rc2;
}

/* It may hold bytes that are in memory only, of a process that was killed, say. */
static bool is_unsure(const struct lsm *db, const struct doubt_file *f)
{
    return f->kind == FILE_LOG || f->kind == FILE_MANIFEST ||
           (f->kind == FILE_SEGMENT && !db_find_sealed(db, f->number));
}

static bool may_link(const struct clone *c, bool unsure)
{
    return c->env == c->to_env && !(unsure && c->doubt);
}

static int note_linked(struct clone *c, const struct doubt_file *f, bool unsure)
{
    int rc = unsure ? doubt_sync(c->to_env, c->to, f, false) : 0;

    c->done += f->bytes;
    if (rc && rc != -ENOMEM)
        doubt_note(c->env, c->from); /* perhaps a sync; the next one says yes */
    return rc;
}

static int give(void *arg, const struct lsm_file *f)
{
    struct clone *c = arg;
    struct doubt_file made = {.bytes = f->size};
    char *from = NULL, *to = NULL;
    bool unsure;
    int rc = -ENOMEM;

    made.kind = file_parse(f->name, &made.number);
    unsure = c->db && is_unsure(c->db, &made);
    if (asprintf(&from, "%s/%s", c->from, f->name) < 0)
        from = NULL;
    if (asprintf(&to, "%s/%s", c->to, f->name) < 0)
        to = NULL;
    if (from && to)
        rc = may_link(c, unsure) ? env_link(c->env, from, to) : -EXDEV;
    if (rc == -EXDEV)
        rc = copy_file(c, from, to, f->size);
    else if (!rc)
        rc = note_linked(c, &made, unsure);
    free(from);
    free(to);
    return rc;
}

static int add_size(void *arg, const struct lsm_file *f)
{
    ((struct clone *)arg)->total += f->size;
    return 0;
}

/* ---- a clone ---- */

int lsm_clone(struct lsm *from, const char *path, lsm_progress_fn *progress, void *arg)
{
    struct clone c = {
        .env = from->env,
        .to_env = env_is_rados(path) || env_is_rados(from->dir) ? env_for(path) : from->env,
        .db = from,
        .doubt = doubt_is_noted(from->env, from->dir),
        .from = from->dir,
        .progress = progress,
        .arg = arg};
    struct staging s = {0};
    int rc;

    if (!from->o.read_only)
        return -EINVAL;
    if (!c.to_env)
        return -EOPNOTSUPP;
    rc = staging_begin(&s, c.to_env, path, ".clone-tmp");
    c.to = s.tmp;
    if (!rc) {
        rc = lsm_files(from, add_size, &c);
        if (!rc)
            rc = lsm_files(from, give, &c);
        if (!rc)
            rc = env_sync_dir(c.to_env, s.tmp);
        if (!rc)
            rc = staging_commit(&s);
        if (rc)
            (void)staging_drop(&s);
    }
    staging_release(&s);
    return rc;
}

/* ---- rollback ---- */

struct rollback {
    struct clone c;
    struct staging s;
    struct lsm_options o;
    const char *path;     /* the store */
    bool check;           /* nothing is linked yet */
    uint64_t next_number; /* no file of the store has it, nor a greater one */
};

static int note_number(void *arg, const char *name)
{
    struct rollback *r = arg;
    uint64_t number = 0;

    if (file_parse(name, &number) != FILE_OTHER && number >= r->next_number)
        r->next_number = number + 1;
    return 0;
}

/* The numbers that the clone gives out when it is opened begin behind those of all
 * files that are there: a file that claims the number before. */
static int claim_numbers(struct rollback *r)
{
    struct env_file *f;
    char *path;
    int rc = env_list(r->c.env, r->path, note_number, r);

    if (rc)
        return rc;
    path = file_path(r->s.tmp, FILE_TEMP, r->next_number);
    rc = path ? env_open(r->c.env, path, ENV_CREATE, 0, &f) : -ENOMEM;
    free(path);
    return rc ? rc : env_file_close(f);
}

/* The checkpoint's files, opened and closed in tmp: then they need no log. */
static int make_clone(struct rollback *r, const char *from)
{
    struct lsm_options ro = r->o;
    struct lsm *db;
    int rc;

    ro.read_only = true;
    rc = lsm_open(from, &ro, &db);
    if (rc)
        return rc;
    r->c.from = from;
    r->c.to = r->s.tmp;
    rc = lsm_files(db, give, &r->c);
    lsm_close(db); /* read only: nothing to lose */
    if (!rc)
        rc = claim_numbers(r);
    if (!rc)
        rc = env_sync_dir(r->c.env, r->s.tmp);
    if (!rc)
        rc = lsm_open(r->s.tmp, &r->o, &db);
    return rc ? rc : lsm_close(db);
}

/*
 * Numbers are used once by a store and its rollbacks, but those of a clone, and so of a
 * checkpoint that came from another store, are given out twice: what has the number may
 * be anything, of the same size too.
 */
static int place(struct rollback *r, const char *from, const char *to)
{
    uint64_t size;
    int rc = r->check ? env_stat(r->c.env, to, &size) : env_link(r->c.env, from, to);

    if (r->check && rc == -ENOENT)
        return 0;
    if (rc != (r->check ? 0 : -EEXIST))
        return rc;
    rc = env_same(r->c.env, from, to);
    return rc < 0 ? rc : rc ? 0 : -EEXIST;
}

static int take(void *arg, const char *name)
{
    struct rollback *r = arg;
    uint64_t number = 0;
    enum file_kind kind = file_parse(name, &number);
    char *from, *to;
    int rc;

    if (kind != FILE_TABLE && kind != FILE_SEGMENT && kind != FILE_MANIFEST)
        return 0;
    from = file_path(r->s.tmp, kind, number);
    to = file_path(r->path, kind, number);
    rc = from && to ? place(r, from, to) : -ENOMEM;
    free(from);
    free(to);
    return rc;
}

/* All of them are looked at before any is linked. */
static int take_all(struct rollback *r)
{
    int rc;

    r->check = true;
    rc = env_list(r->c.env, r->s.tmp, take, r);
    r->check = false;
    return rc ? rc : env_list(r->c.env, r->s.tmp, take, r);
}

/* The moment is that in which CURRENT is replaced. */
static int install(struct rollback *r)
{
    char *from = file_path(r->s.tmp, FILE_CURRENT, 0);
    char *to = file_path(r->path, FILE_CURRENT, 0);
    int rc;

    rc = from && to ? take_all(r) : -ENOMEM;
    if (!rc)
        rc = env_sync_dir(r->c.env, r->path);
    KILL_POINT("rollback-linked");
    if (!rc)
        rc = env_rename(r->c.env, from, to);
    KILL_POINT("rollback-renamed");
    if (!rc)
        rc = env_sync_dir(r->c.env, r->path);
    free(from);
    free(to);
    return rc;
}

static int rollback_locked(struct rollback *r, const char *from)
{
    char *staged = NULL;
    int rc;

    if (asprintf(&staged, "%s/rollback", r->path) < 0)
        return -ENOMEM;
    r->s.opened = true;
    rc = staging_begin(&r->s, r->c.env, staged, "-tmp");
    free(staged);
    if (!rc) {
        rc = make_clone(r, from);
        if (!rc)
            rc = install(r);
        (void)staging_drop(&r->s); /* else the next rollback does */
    }
    staging_release(&r->s);
    return rc;
}

int lsm_rollback(const char *path, const char *from, const struct lsm_options *o)
{
    struct rollback r = {.o = *o, .path = path, .c.env = o->env ? o->env : env_for(path)};
    struct env_lock *lock = NULL;
    char *lock_path = file_path(path, FILE_LOCK, 0);
    int rc = !r.c.env     ? -EOPNOTSUPP
             : lock_path ? env_lock(r.c.env, lock_path, false, &lock)
                         : -ENOMEM;

    r.c.to_env = r.c.env;
    free(lock_path);
    r.o.create = r.o.read_only = false;
    if (!rc)
        rc = rollback_locked(&r, from);
    env_unlock(r.c.env, lock);
    return rc == -EWOULDBLOCK ? -EBUSY : rc;
}
