/*
 * receive.c - see send.h: the receiving side. What comes is from a stranger, perhaps: it
 * makes files only in the directory that it is about, only of names that a store's files
 * have, and what it makes is a snapshot only if the engine opens it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "files.h"
#include "send.h"
#include "snapshots.h"
#include "stream.h"

struct receiving {
    struct receive *r;
    struct why *why;
    struct stream in;
    char dir[PATH_MAX], to[PATH_MAX], part[PATH_MAX + 512];
    char base[PATH_MAX]; /* "": none */
    struct files files; /* what came, unsorted until the end; no store is open */
    struct timespec made;
    int claim;             /* of part: who receives it; -1: nobody else could */
    struct env_lock *lock; /* the same on RADOS */
    struct env_file *file; /* whose bytes come; NULL: none */
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

static int check_absent(struct receiving *j)
{
    int there = path_there(j->to);

    if (there < 0)
        return why_set(j->why, there, "%s: %s", j->dir, strerror(-there));
    if (there)
        return why_set(j->why, -EEXIST,
                       "%s: has a snapshot \"%s\" already; delete it first", j->r->store,
                       j->r->name);
    return 0;
}

/* Another that receives the same would write into the same files. (A filesystem without
 * such locks keeps nobody from it.) */
static int take_claim(struct receiving *j)
{
    char path[PATH_MAX + 512 + 8];

    if (env_is_rados(j->part)) {
        snprintf(path, sizeof(path), "%s/LOCK", j->part);
        return env_lock(env_for(path), path, false, &j->lock);
    }
    j->claim = open(j->part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (j->claim < 0)
        return -errno;
    return flock(j->claim, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK ? -EWOULDBLOCK
                                                                          : 0;
}

static int claimed_why(struct receiving *j)
{
    return why_set(j->why, -EBUSY,
                   "%s: \"%s\" is being received already; wait until that ends",
                   j->r->store, j->r->name);
}

static int claim_part(struct receiving *j)
{
    int err = take_claim(j);

    if (err == -EWOULDBLOCK)
        return claimed_why(j);
    return err ? err : check_absent(j); /* it may have become that meanwhile */
}

/* Who opens the store in part locks it, too. */
static void give_lock(struct receiving *j)
{
    env_unlock(env_for(j->part), j->lock);
    j->lock = NULL;
}

static int make_dirs(struct receiving *j)
{
    struct env *env = env_for(j->r->store);
    int err = env_mkdir(env, j->r->store);

    if (!err || err == -EEXIST)
        err = env_mkdir(env, j->dir);
    if (!err || err == -EEXIST)
        err = names_last(j->r->store, j->dir);
    if (err)
        return why_set(j->why, err, "%s: %s", j->dir, strerror(-err));
    err = check_absent(j);
    if (err)
        return err;
    err = env_mkdir(env, j->part);
    if (!err || err == -EEXIST)
        err = is_directory(j->part) ? claim_part(j) : -ENOTDIR;
    if (!err)
        err = remove_files(j->part);
    return err && !j->why->text[0] ? failed(j, err, "") : err;
}

/* When it was made, to the nanosecond, tells whether two of one name are the same. */
static int check_base(struct receiving *j, const struct timespec *told)
{
    struct timespec made;
    int err = made_when(j->base, &made);

    if (err)
        return why_set(j->why, err, "%s: %s", j->base, strerror(-err));
    if (told->tv_sec != made.tv_sec || told->tv_nsec != made.tv_nsec)
        return why_set(j->why, -ESTALE,
                       "%s: another snapshot of the name it builds on; send it without "
                       "--from",
                       j->base);
    return 0;
}

static int begin(struct receiving *j)
{
    char base_name[256];
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
        err = snapshot_find(j->r->store, base_name, j->base, j->why);
    if (err)
        return err;
    snprintf(j->dir, sizeof(j->dir), "%.*s", (int)(strrchr(j->to, '/') - j->to), j->to);
    snprintf(j->part, sizeof(j->part), "%s/.%s-part", j->dir, j->r->name);
    err = make_dirs(j);
    return !err && base_name[0] ? check_base(j, &base_made) : err;
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

    if (!j->base[0] || !unpack_u64(&p, &size) || !unpack_u64(&p, &tail) ||
        !unpack_text(&p, name) || p.len || !is_name(name))
        return damaged(j, "no file of the other snapshot");
    if (!file_is(j->base, name, size, tail))
        return why_set(j->why, -ESTALE,
                       "the snapshot it builds on has not the same %s; send it without "
                       "--from",
                       name);
    err = files_add(&j->files, name, size, &f);
    if (!err)
        err = link_file(j->base, j->part, name);
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
    if (!err)
        err = make_file(j->part, name, &j->file);
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
    err = append(j->file, p.data, p.len);
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
    int err, err2;

    f->sum = XXH3_128bits_digest(j->sum);
    f->summed = true;
    XXH128_canonicalFromHash(&canonical, f->sum);
    if (j->at != f->size || p.len != sizeof(canonical.digest) ||
        memcmp(p.data, canonical.digest, p.len) != 0)
        return damaged(j, "a file that is not the one sent,");
    err = env_file_sync(j->file);
    err2 = env_file_close(j->file);
    err = err ? err : err2;
    j->file = NULL;
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
    if (j->file) /* a file is open: its bytes, or its end */
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

static int sum_link(struct receiving *j, struct file *f)
{
    struct env_file *linked;
    int err = open_file(j->part, f->name, &linked);

    if (err)
        return err;
    err = hash_file(linked, f->size, &f->sum);
    env_file_close(linked); /* was only read */
    return err;
}

static int sum_links(struct receiving *j)
{
    size_t i;
    int err = 0;

    files_sort(&j->files);
    if (j->base[0])
        (void)files_read_sums(j->base, note_sum, j); /* those it has not are summed */
    for (i = 0; i < j->files.n && !err; i++)
        if (!j->files.file[i].summed)
            err = sum_link(j, &j->files.file[i]);
    return err ? err : files_write_sums(&j->files, j->part);
}

/* It stays open, to read: so nobody claims it any more. */
static int check_store(struct receiving *j, struct files *opened)
{
    uint64_t ours, its;
    int64_t ns;
    int err = file_identity(j->part, "CURRENT", &ours, &ns);

    if (err)
        return failed(j, err, "CURRENT");
    give_lock(j);
    err = files_open(opened, j->part, j->why);
    if (err == -EBUSY)
        return claimed_why(j);
    if (!err && opened->n != j->files.n)
        return why_set(j->why, -EUCLEAN,
                       "the stream holds files that are not the store's");
    if (!err && (file_identity(j->part, "CURRENT", &its, &ns) || its != ours))
        return claimed_why(j); /* who claimed it meanwhile began anew */
    return err;
}

static int make_snapshot(struct receiving *j)
{
    struct env *env = env_for(j->part);
    int err = set_made(j->part, &j->made);

    (void)remove_file(j->part, "LOCK"); /* of having been opened */
    if (!err)
        err = env_sync_dir(env, j->part);
    if (!err)
        err = env_rename(env, j->part, j->to);
    if (!err)
        err = sync_parent(j->to);
    return err ? failed(j, err, "") : 0;
}

static int end(struct receiving *j)
{
    struct files opened = {0};
    int err = sum_links(j);

    if (!err)
        err = env_sync_dir(env_for(j->part), j->part);
    if (err)
        return failed(j, err, SUMS_NAME);
    err = check_store(j, &opened);
    if (!err)
        err = make_snapshot(j);
    files_close(&opened);
    return err;
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
    *j = (struct receiving){.r = r, .why = why, .in.fd = r->fd, .claim = -1};
    j->sum = XXH3_createState();
    err = j->sum ? begin(j) : -ENOMEM;
    while (!err && !over)
        err = take(j, &over);
    if (!err)
        err = end(j);
    if (err && !why->text[0])
        stream_why(j, err);
    env_file_close(j->file); /* of what is given up */
    give_lock(j);
    if (j->claim >= 0)
        close(j->claim);
    XXH3_freeState(j->sum);
    free(j->files.file);
    stream_release(&j->in);
    free(j);
    return err;
}
