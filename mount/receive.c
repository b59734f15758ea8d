/*
 * receive.c - see send.h: the receiving side. What comes is from a stranger, perhaps: it
 * makes files only in the directory that it is about, only of names that a store's files
 * have, and what it makes is a snapshot only if the engine opens it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "send.h"
#include "snapshots.h"
#include "store.h"
#include "stream.h"

struct receiving {
    struct receive *r;
    struct why *why;
    struct stream in;
    char dir[PATH_MAX], to[PATH_MAX], part[PATH_MAX + 512];
    int part_dir, base; /* -1: none */
    struct files files; /* what came, unsorted until the end; no store is open */
    struct timespec made;
    int fd; /* of the file whose bytes come; -1: none */
    uint64_t at;
    XXH3_state_t *sum;
};

static int damaged(struct receiving *j, const char *what)
{
    return why_set(j->why, -EUCLEAN, "the stream is damaged: %s in its frame %" PRIu64,
                   what, j->in.frames);
}

static int failed(struct receiving *j, int err, const char *what)
{
    return why_set(j->why, err, "%s/%s: %s", j->part, what, strerror(-err));
}

/* ---- the beginning ---- */

static int remove_all(int dir)
{
    int fd = dup(dir);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d)
        return -errno;
    rewinddir(d);
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(dir, e->d_name, 0);
    closedir(d);
    return 0;
}

static int make_dirs(struct receiving *j)
{
    struct env *env = env_posix();
    struct stat st;
    int err = store_only_directory(j->r->store, j->why);

    if (err)
        return err;
    err = env_mkdir(env, j->r->store);

    if (!err || err == -EEXIST)
        err = env_mkdir(env, j->dir);
    if (err && err != -EEXIST)
        return why_set(j->why, err, "%s: %s", j->dir, strerror(-err));
    if (lstat(j->to, &st) == 0)
        return why_set(j->why, -EEXIST,
                       "%s: has a snapshot \"%s\" already; delete it first", j->r->store,
                       j->r->name);
    err = env_mkdir(env, j->part);
    j->part_dir = err && err != -EEXIST ? err : open_dir(j->part);
    return j->part_dir < 0 ? failed(j, j->part_dir, "") : remove_all(j->part_dir);
}

/* When it was made, to the nanosecond, tells whether two of one name are the same. */
static int open_base(struct receiving *j, const char *path, const struct timespec *made)
{
    struct stat st;

    j->base = open_dir(path);
    if (j->base < 0)
        return why_set(j->why, j->base, "%s: %s", path, strerror(-j->base));
    if (fstatat(j->base, "CURRENT", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        st.st_mtim.tv_sec != made->tv_sec || st.st_mtim.tv_nsec != made->tv_nsec)
        return why_set(j->why, -ESTALE,
                       "%s: another snapshot of the name it builds on; send it without "
                       "--from",
                       path);
    return 0;
}

static int begin(struct receiving *j)
{
    char base_name[256], base[PATH_MAX];
    struct timespec base_made;
    struct slice p;
    uint8_t type;
    int err = stream_get(&j->in, &type, &p);

    if (err)
        return err;
    if (type != STREAM_SNAPSHOT || !unpack_time(&p, &j->made) ||
        !unpack_text(&p, j->r->name) || !unpack_time(&p, &base_made) ||
        !unpack_text(&p, base_name) || p.len)
        return damaged(j, "no beginning");
    err = snapshot_path(j->r->store, j->r->name, j->to, j->why);
    if (!err && base_name[0])
        err = snapshot_find(j->r->store, base_name, base, j->why);
    if (err)
        return err;
    snprintf(j->dir, sizeof(j->dir), "%.*s", (int)(strrchr(j->to, '/') - j->to), j->to);
    snprintf(j->part, sizeof(j->part), "%s/.%s-part", j->dir, j->r->name);
    err = make_dirs(j);
    return !err && base_name[0] ? open_base(j, base, &base_made) : err;
}

/* ---- files ---- */

/* A name as the engine gives them, of a file that it would read. */
static bool is_name(const char *name)
{
    static const char allowed[] = "0123456789"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz.-";

    return name[0] && name[0] != '.' && strlen(name) < FILES_NAME &&
           name[strspn(name, allowed)] == '\0' && strcmp(name, SUMS_NAME) != 0;
}

static int take_link(struct receiving *j, struct slice p)
{
    char name[256];
    struct file *f;
    uint64_t size, tail;
    int err;

    if (j->base < 0 || !unpack_u64(&p, &size) || !unpack_u64(&p, &tail) ||
        !unpack_text(&p, name) || p.len || !is_name(name))
        return damaged(j, "no file of the other snapshot");
    if (!file_is(j->base, name, size, tail))
        return why_set(j->why, -ESTALE,
                       "the snapshot it builds on has not the same %s; send it without "
                       "--from",
                       name);
    err = files_add(&j->files, name, size, &f);
    if (!err && linkat(j->base, name, j->part_dir, name, 0) < 0)
        err = -errno;
    if (!err)
        f->placed = true;
    return err ? failed(j, err, name) : 0;
}

static int take_file(struct receiving *j, struct slice p)
{
    char name[256];
    struct file *f;
    uint64_t size;
    int err;

    if (!unpack_u64(&p, &size) || !unpack_text(&p, name) || p.len || !is_name(name))
        return damaged(j, "no file");
    err = files_add(&j->files, name, size, &f);
    if (!err) {
        j->fd = make_file(j->part_dir, name);
        err = j->fd < 0 ? j->fd : 0;
    }
    j->at = 0;
    XXH3_128bits_reset(j->sum);
    return err ? failed(j, err, name) : 0;
}

static int take_data(struct receiving *j, struct slice p)
{
    const struct file *f = &j->files.file[j->files.n - 1];
    int err;

    if (p.len > f->size - j->at)
        return damaged(j, "a file longer than it says");
    err = write_at(j->fd, j->at, p.data, p.len);
    XXH3_128bits_update(j->sum, p.data, p.len);
    j->at += p.len;
    j->r->bytes += p.len;
    if (!err && j->r->progress)
        err = j->r->progress(j->r->arg, j->r->bytes, 0, 0);
    return err && err != -ECANCELED ? failed(j, err, f->name) : err;
}

static int take_sum(struct receiving *j, struct slice p)
{
    struct file *f = &j->files.file[j->files.n - 1];
    XXH128_canonical_t canonical;
    int err = 0;

    f->sum = XXH3_128bits_digest(j->sum);
    f->summed = true;
    XXH128_canonicalFromHash(&canonical, f->sum);
    if (j->at != f->size || p.len != sizeof(canonical.digest) ||
        memcmp(p.data, canonical.digest, p.len) != 0)
        return damaged(j, "a file that is not the one sent,");
    if (fsync(j->fd) < 0)
        err = -errno;
    if (close(j->fd) < 0 && !err)
        err = -errno;
    j->fd = -1;
    return err ? failed(j, err, f->name) : 0;
}

/* *over: that was the last. */
static int take(struct receiving *j, bool *over)
{
    struct slice p;
    uint64_t count;
    uint8_t type;
    int err = stream_get(&j->in, &type, &p);

    if (err)
        return err;
    if (j->fd >= 0) /* a file is open: its bytes, or its end */
        return type == STREAM_DATA  ? take_data(j, p)
               : type == STREAM_SUM ? take_sum(j, p)
                                    : damaged(j, "a file without an end");
    switch (type) {
    case STREAM_LINK:
        return take_link(j, p);
    case STREAM_FILE:
        return take_file(j, p);
    case STREAM_END:
        *over = true;
        return unpack_u64(&p, &count) && !p.len && count == j->files.n
                   ? 0
                   : damaged(j, "not all files");
    default:
        return damaged(j, "nothing known");
    }
}

/* ---- the end ---- */

static int note_sum(void *arg, const struct file *told)
{
    struct receiving *j = arg;
    struct file *f = files_find(&j->files, told->name);

    if (f && f->placed && f->size == told->size) {
        f->sum = told->sum;
        f->summed = true;
    }
    return 0;
}

static int sum_links(struct receiving *j)
{
    size_t i;
    int err = 0;

    files_sort(&j->files);
    if (j->base >= 0)
        (void)files_read_sums(j->base, note_sum, j); /* those it has not are summed */
    for (i = 0; i < j->files.n && !err; i++) {
        struct file *f = &j->files.file[i];
        int fd = f->summed ? -1 : open_file(j->part_dir, f->name);

        if (f->summed)
            continue;
        err = fd < 0 ? fd : hash_file(fd, f->size, &f->sum);
        if (fd >= 0)
            close(fd);
    }
    return err ? err : files_write_sums(&j->files, j->part_dir);
}

static int check_store(struct receiving *j)
{
    struct files opened;
    int err = files_open(&opened, j->part, j->why);

    if (!err && opened.n != j->files.n)
        err =
            why_set(j->why, -EUCLEAN, "the stream holds files that are not the store's");
    files_close(&opened);
    return err;
}

static int end(struct receiving *j)
{
    struct timespec times[2] = {j->made, j->made};
    int err = sum_links(j);

    if (err)
        return failed(j, err, SUMS_NAME);
    err = check_store(j);
    if (err)
        return err;
    (void)utimensat(j->part_dir, "CURRENT", times, AT_SYMLINK_NOFOLLOW);
    (void)unlinkat(j->part_dir, "LOCK", 0); /* of having been opened */
    if (fsync(j->part_dir) < 0 || rename(j->part, j->to) < 0)
        err = -errno;
    if (!err)
        err = sync_parent(j->to);
    return err ? failed(j, err, "") : 0;
}

static int stream_why(struct receiving *j, int err)
{
    if (err == -EPROTONOSUPPORT)
        return why_set(j->why, err,
                       "what comes is not what `siltfs send` of this version sends");
    if (err == -EPIPE)
        return why_set(j->why, err, "the stream ends too early; look at the sender");
    if (err == -EUCLEAN)
        return damaged(j, "bytes");
    return why_set(j->why, err, "receiving: %s", strerror(-err));
}

int receive_snapshot(struct receive *r, struct why *why)
{
    struct receiving *j = calloc(1, sizeof(*j));
    bool over = false;
    int err;

    why->text[0] = '\0';
    if (!j)
        return why_set(why, -ENOMEM, "%s", strerror(ENOMEM));
    *j = (struct receiving){.r = r,
                            .why = why,
                            .in.fd = r->fd,
                            .part_dir = -1,
                            .base = -1,
                            .files.dir = -1,
                            .fd = -1};
    j->sum = XXH3_createState();
    err = j->sum ? begin(j) : -ENOMEM;
    while (!err && !over)
        err = take(j, &over);
    if (!err)
        err = end(j);
    if (err && !why->text[0])
        stream_why(j, err);
    if (j->fd >= 0)
        close(j->fd);
    if (j->part_dir >= 0)
        close(j->part_dir);
    if (j->base >= 0)
        close(j->base);
    XXH3_freeState(j->sum);
    free(j->files.file);
    stream_release(&j->in);
    free(j);
    return err;
}
