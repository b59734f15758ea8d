/*
 * transfer.c - see transfer.h.
 */
#include "transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "settings.h"

struct job {
    struct transfer *t;
    struct why *why;
    struct files from;
    struct env_lock *lock; /* of part, on RADOS */
    uint8_t *block;
    uint64_t done;
};

static int job_why(struct job *j, int err, const char *dir, const char *name)
{
    return why_set(j->why, err, "%s/%s: %s", dir, name, strerror(-err));
}

/* ---- bytes ---- */

/* To a new file; sums it on the way. */
static int copy_bytes(struct job *j, struct env_file *from, struct env_file *to,
                      uint64_t size, XXH128_hash_t *sum)
{
    XXH3_state_t *state = XXH3_createState();
    uint64_t at = 0;
    int err = state ? 0 : -ENOMEM;

    if (state)
        XXH3_128bits_reset(state);
    while (!err && at < size) {
        size_t len = size - at < FILES_BLOCK ? (size_t)(size - at) : FILES_BLOCK;

        err = read_at(from, at, j->block, len);
        if (!err)
            err = append(to, j->block, len);
        if (!err)
            XXH3_128bits_update(state, j->block, len);
        at += len;
        j->done += len;
        if (!err && j->t->progress)
            err = j->t->progress(j->t->arg, j->done, j->from.bytes, 0);
    }
    if (!err)
        *sum = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return err;
}

static int check_sum(struct job *j, const struct file *f, XXH128_hash_t sum,
                     const char *dir)
{
    if (XXH128_isEqual(sum, f->sum))
        return 0;
    return why_set(j->why, -EUCLEAN, "%s/%s: damaged: not what was written there", dir,
                   f->name);
}

/* Synced, and read back from the disk. */
static int check_copy(struct job *j, struct env_file *to, const struct file *f)
{
    XXH128_hash_t again = {0};
    int err = env_file_sync(to);

    if (err)
        return err;
    env_file_forget(to, 0, f->size);
    err = hash_file(to, f->size, &again);
    if (!err && !XXH128_isEqual(again, f->sum))
        return why_set(j->why, -EIO, "%s/%s: reads back otherwise than it was written",
                       j->t->part, f->name);
    return err;
}

static int copy_file(struct job *j, struct env_file *from, struct file *f)
{
    XXH128_hash_t sum = {0};
    char tmp[FILES_NAME + 8];
    struct env_file *to;
    int err, err2;

    snprintf(tmp, sizeof(tmp), "%s.tmp", f->name);
    (void)remove_file(j->t->part, tmp);
    err = make_file(j->t->part, tmp, &to);
    if (err)
        return err;
    err = copy_bytes(j, from, to, f->size, &sum);
    if (!err && j->t->verify)
        err = check_sum(j, f, sum, j->t->from);
    f->sum = sum;
    f->summed = true;
    if (!err)
        err = check_copy(j, to, f);
    err2 = env_file_close(to);
    err = err ? err : err2;
    if (!err)
        err = rename_file(j->t->part, tmp, f->name);
    if (err)
        (void)remove_file(j->t->part, tmp);
    j->t->copied_files++;
    j->t->copied_bytes += f->size;
    return err;
}

/* ---- what is there ---- */

static int know_sum(struct job *j, struct file *f)
{
    struct env_file *from;
    int err = f->summed ? 0 : open_file(j->from.dir, f->name, &from);

    if (f->summed || err)
        return err;
    err = hash_file(from, f->size, &f->sum);
    f->summed = !err;
    env_file_close(from); /* was only read */
    return err;
}

struct other {
    struct job *j;
    char dir[PATH_MAX + NAME_MAX + 1];
};

/* A file of another store: is it one of ours? */
static int link_if_same(void *arg, const struct file *theirs)
{
    struct other *o = arg;
    struct file *f = files_find(&o->j->from, theirs->name);
    int err;

    /* Of the size that its sum was made of: what was cut off by a disk that failed, or is
     * no file at all, is not shared. Its bytes restore reads. */
    if (!f || f->placed || !f->immutable || f->size != theirs->size ||
        !file_has_size(o->dir, theirs->name, theirs->size))
        return 0;
    if (theirs->ino == f->ino && theirs->mtime_ns == f->mtime_ns) {
        f->sum = theirs->sum;
        f->summed = true;
    }
    err = know_sum(o->j, f);
    if (err || !XXH128_isEqual(f->sum, theirs->sum))
        return err;
    err = link_file(o->dir, o->j->t->part, f->name);
    f->placed = !err;
    return err == -EMLINK || err == -EEXIST || err == -ENOENT ? 0 : err;
}

static int link_from(void *arg, const char *name)
{
    struct job *j = arg;
    struct other o = {.j = j};
    int err;

    snprintf(o.dir, sizeof(o.dir), "%s/%s", j->t->others, name);
    if (name[0] == '.' || !is_directory(o.dir))
        return 0;
    err = files_read_sums(o.dir, link_if_same, &o);
    /* It was not carried there, or somebody made of SUMS what is no file. */
    return err == -ENOENT || err == -ELOOP || err == -EUCLEAN ? 0 : err;
}

static int link_from_others(struct job *j)
{
    const char *others = j->t->others;
    int err = others ? env_list(env_for(others), others, link_from, j) : 0;

    return err == -ENOENT ? 0 : err;
}

/* Of an earlier attempt: the same, all of it? */
static bool is_there(struct job *j, struct file *f)
{
    XXH128_hash_t sum = {0};
    struct env_file *to;
    bool same;

    if (!file_has_size(j->t->part, f->name, f->size) ||
        open_file(j->t->part, f->name, &to))
        return false;
    same = hash_file(to, f->size, &sum) == 0 && know_sum(j, f) == 0 &&
           XXH128_isEqual(sum, f->sum);
    env_file_close(to); /* was only read */
    return same;
}

static int bring(struct job *j, struct file *f)
{
    struct env_file *from;
    int err;

    if (f->placed || is_there(j, f)) {
        j->done += f->size;
        return 0;
    }
    err = open_file(j->from.dir, f->name, &from);
    if (err)
        return err;
    err = copy_file(j, from, f);
    env_file_close(from); /* was only read */
    return err;
}

/* ---- all of it ---- */

static int note_sum(void *arg, const struct file *told)
{
    struct job *j = arg;
    struct file *f = files_find(&j->from, told->name);

    if (f && f->size == told->size) {
        f->sum = told->sum;
        f->summed = true;
    }
    return 0;
}

/* On RADOS nobody else claims the directory above, and names of a directory that is
 * locked are changed many at once. */
static int lock_part(struct job *j)
{
    char path[PATH_MAX + 512];
    int err;

    if (!env_is_rados(j->t->part))
        return 0;
    snprintf(path, sizeof(path), "%s/LOCK", j->t->part);
    err = env_lock(env_for(path), path, false, &j->lock);
    return err == -EWOULDBLOCK
               ? why_set(j->why, -EBUSY, "%s: another makes the same", j->t->part)
               : err;
}

static int begin(struct job *j)
{
    int err = path_there(j->t->to);

    if (err < 0)
        return job_why(j, err, j->t->to, "");
    if (err)
        return why_set(j->why, -EEXIST, "%s: is there already", j->t->to);
    err = files_open(&j->from, j->t->from, j->why);
    if (err)
        return err;
    j->t->files = j->from.n;
    j->t->bytes = j->from.bytes;
    err = env_mkdir(env_for(j->t->part), j->t->part);
    if (!err || err == -EEXIST)
        err = is_directory(j->t->part) ? lock_part(j) : -ENOTDIR;
    if (err)
        return j->why->text[0] ? err : job_why(j, err, j->t->part, "");
    if (j->t->verify && (err = files_read_sums(j->from.dir, note_sum, j)))
        err = job_why(j, err, j->t->from, SUMS_NAME);
    return err;
}

static int remove_other(void *arg, const char *name)
{
    struct job *j = arg;

    if (!files_find(&j->from, name))
        (void)remove_file(j->t->part, name);
    return 0;
}

/* The whole of part is durable, without what another attempt left; then its name. */
static int end(struct job *j)
{
    struct env *env = env_for(j->t->part);
    int err = env_list(env, j->t->part, remove_other, j);

    if (!err)
        err = files_write_sums(&j->from, j->t->part);
    if (!err)
        err = settings_carry(j->t->settings, j->t->part);
    if (!err)
        err = env_sync_dir(env, j->t->part);
    if (!err)
        err = env_rename(env, j->t->part, j->t->to);
    if (!err)
        err = sync_parent(j->t->to);
    return err ? job_why(j, err, j->t->part, "") : 0;
}

int transfer(struct transfer *t, struct why *why)
{
    struct job j = {.t = t, .why = why};
    size_t i;
    int err;

    why->text[0] = '\0';
    t->copied_files = t->copied_bytes = 0;
    j.block = malloc(FILES_BLOCK);
    err = j.block ? begin(&j) : why_set(why, -ENOMEM, "%s", strerror(ENOMEM));
    if (!err && (err = link_from_others(&j)))
        job_why(&j, err, t->others, "");
    for (i = 0; i < j.from.n && !err; i++) {
        if (t->verify && !j.from.file[i].summed)
            err = why_set(why, -EUCLEAN, "%s/%s: not in " SUMS_NAME, t->from,
                          j.from.file[i].name);
        else
            err = bring(&j, &j.from.file[i]);
        if (err && !why->text[0])
            job_why(&j, err, t->from, j.from.file[i].name);
    }
    if (!err)
        err = end(&j);
    env_unlock(env_for(t->part), j.lock);
    files_close(&j.from);
    free(j.block);
    return err;
}
