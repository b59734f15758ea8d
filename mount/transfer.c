/*
 * transfer.c - see transfer.h.
 */
#include "transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

struct job {
    struct transfer *t;
    struct why *why;
    struct files from;
    int part; /* a directory */
    uint8_t *block;
    uint64_t done;
};

static int job_why(struct job *j, int err, const char *dir, const char *name)
{
    return why_set(j->why, err, "%s/%s: %s", dir, name, strerror(-err));
}

/* ---- bytes ---- */

/* From fd to a new file; sums it on the way. */
static int copy_bytes(struct job *j, int fd, int to, uint64_t size, XXH128_hash_t *sum)
{
    XXH3_state_t *state = XXH3_createState();
    uint64_t at = 0;
    int err = state ? 0 : -ENOMEM;

    if (state)
        XXH3_128bits_reset(state);
    while (!err && at < size) {
        size_t len = size - at < FILES_BLOCK ? (size_t)(size - at) : FILES_BLOCK;

        err = read_at(fd, at, j->block, len);
        if (!err)
            err = write_at(to, at, j->block, len);
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

/* Synced, read back from the disk, named. */
static int finish_copy(struct job *j, int fd, struct file *f, const char *tmp)
{
    XXH128_hash_t again = {0};
    int err;

    if (fsync(fd) < 0)
        return -errno;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    err = hash_file(fd, f->size, &again);
    if (!err && !XXH128_isEqual(again, f->sum))
        return why_set(j->why, -EIO, "%s/%s: reads back otherwise than it was written",
                       j->t->part, f->name);
    if (!err && renameat(j->part, tmp, j->part, f->name) < 0)
        err = -errno;
    return err;
}

static int copy_file(struct job *j, int from, struct file *f)
{
    XXH128_hash_t sum = {0};
    char tmp[FILES_NAME + 8];
    int fd, err;

    snprintf(tmp, sizeof(tmp), "%s.tmp", f->name);
    (void)unlinkat(j->part, tmp, 0);
    fd = make_file(j->part, tmp);
    if (fd < 0)
        return fd;
    err = copy_bytes(j, from, fd, f->size, &sum);
    if (!err && j->t->verify)
        err = check_sum(j, f, sum, j->t->from);
    f->sum = sum;
    f->summed = true;
    if (!err)
        err = finish_copy(j, fd, f, tmp);
    close(fd);
    if (err)
        (void)unlinkat(j->part, tmp, 0);
    j->t->copied_files++;
    j->t->copied_bytes += f->size;
    return err;
}

/* ---- what is there ---- */

static int know_sum(struct job *j, struct file *f)
{
    int fd = f->summed ? -1 : open_file(j->from.dir, f->name), err;

    if (f->summed)
        return 0;
    err = fd < 0 ? fd : hash_file(fd, f->size, &f->sum);
    f->summed = !err;
    if (fd >= 0)
        close(fd);
    return err;
}

struct other {
    struct job *j;
    int dir;
};

/* Of the size that its sum was made of: what was cut off by a disk that failed, or is no
 * file at all, is not shared. Its bytes restore reads. */
static bool is_whole(const struct other *o, const struct file *theirs)
{
    struct stat st;

    return fstatat(o->dir, theirs->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode) && (uint64_t)st.st_size == theirs->size;
}

/* A file of another store: is it one of ours? */
static int link_if_same(void *arg, const struct file *theirs)
{
    struct other *o = arg;
    struct file *f = files_find(&o->j->from, theirs->name);
    int err;

    if (!f || f->placed || !f->immutable || f->size != theirs->size ||
        !is_whole(o, theirs))
        return 0;
    if (theirs->ino == f->ino && theirs->mtime_ns == f->mtime_ns) {
        f->sum = theirs->sum;
        f->summed = true;
    }
    err = know_sum(o->j, f);
    if (err || !XXH128_isEqual(f->sum, theirs->sum))
        return err;
    if (linkat(o->dir, f->name, o->j->part, f->name, 0) < 0)
        return errno == EMLINK || errno == EEXIST || errno == ENOENT ? 0 : -errno;
    f->placed = true;
    return 0;
}

static int link_from_others(struct job *j)
{
    DIR *d = j->t->others ? opendir(j->t->others) : NULL;
    struct other o = {.j = j};
    struct dirent *e;
    int err = 0;

    while (d && !err && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        o.dir =
            openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (o.dir < 0)
            continue;
        err = files_read_sums(o.dir, link_if_same, &o);
        /* It was not carried there, or somebody made of SUMS what is no file. */
        err = err == -ENOENT || err == -ELOOP || err == -EUCLEAN ? 0 : err;
        close(o.dir);
    }
    if (d)
        closedir(d);
    return err;
}

/* Of an earlier attempt: the same, all of it? */
static bool is_there(struct job *j, struct file *f)
{
    int fd = open_file(j->part, f->name);
    XXH128_hash_t sum = {0};
    struct stat st;
    bool same;

    if (fd < 0)
        return false;
    same = fstat(fd, &st) == 0 && (uint64_t)st.st_size == f->size &&
           hash_file(fd, f->size, &sum) == 0 && know_sum(j, f) == 0 &&
           XXH128_isEqual(sum, f->sum);
    close(fd);
    return same;
}

static int bring(struct job *j, struct file *f)
{
    int fd, err;

    if (f->placed || is_there(j, f)) {
        j->done += f->size;
        return 0;
    }
    fd = open_file(j->from.dir, f->name);
    if (fd < 0)
        return fd;
    err = copy_file(j, fd, f);
    close(fd);
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

static int begin(struct job *j)
{
    struct stat st;
    int err;

    if (lstat(j->t->to, &st) == 0)
        return why_set(j->why, -EEXIST, "%s: is there already", j->t->to);
    err = files_open(&j->from, j->t->from, j->why);
    if (err)
        return err;
    j->t->files = j->from.n;
    j->t->bytes = j->from.bytes;
    err = env_mkdir(env_posix(), j->t->part);
    if (err && err != -EEXIST)
        return job_why(j, err, j->t->part, "");
    err = 0;
    j->part = open_dir(j->t->part);
    if (j->part < 0)
        return job_why(j, j->part, j->t->part, "");
    if (j->t->verify && (err = files_read_sums(j->from.dir, note_sum, j)))
        err = job_why(j, err, j->t->from, SUMS_NAME);
    return err;
}

/* What another attempt left and this one does not need. */
static int remove_others(struct job *j)
{
    int fd = dup(j->part);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d)
        return -errno;
    rewinddir(d);
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            !files_find(&j->from, e->d_name))
            (void)unlinkat(j->part, e->d_name, 0);
    closedir(d);
    return 0;
}

/* The whole of part is durable; then its name. */
static int end(struct job *j)
{
    int err = remove_others(j);

    if (!err)
        err = files_write_sums(&j->from, j->part);
    if (!err && fsync(j->part) < 0)
        err = -errno;
    if (!err && rename(j->t->part, j->t->to) < 0)
        err = -errno;
    if (!err)
        err = sync_parent(j->t->to);
    return err ? job_why(j, err, j->t->part, "") : 0;
}

int transfer(struct transfer *t, struct why *why)
{
    struct job j = {.t = t, .why = why, .from.dir = -1, .part = -1};
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
    if (j.part >= 0)
        close(j.part);
    files_close(&j.from);
    free(j.block);
    return err;
}
