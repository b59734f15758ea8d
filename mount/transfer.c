/*
 * transfer.c - see transfer.h.
 */
#include "transfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "../fs/fs.h"
#include "store.h"

enum {
    BLOCK = 1 << 20,
    TAIL = 64 << 10,
    NAME = 40, /* as struct lsm_damage has it */
};

struct file {
    char name[NAME];
    uint64_t size;
    bool immutable;
    XXH128_hash_t sum;
    bool summed;
    bool placed; /* in part */
};

struct job {
    struct transfer *t;
    struct why *why;
    struct lsm *db; /* `from`, open to read */
    int from, part; /* directories */
    struct file *file;
    size_t n, cap;
    uint8_t *block; /* BLOCK bytes, and again */
    uint64_t done, total;
};

static int job_why(struct job *j, int err, const char *dir, const char *name)
{
    return why_set(j->why, err, "%s/%s: %s", dir, name, strerror(-err));
}

/* ---- the list ---- */

static int note_file(void *arg, const struct lsm_file *f)
{
    struct job *j = arg;
    struct file *file;

    if (strlen(f->name) >= NAME)
        return -EUCLEAN;
    if (j->n == j->cap) {
        size_t cap = j->cap ? 2 * j->cap : 64;
        void *p = realloc(j->file, cap * sizeof(*j->file));

        if (!p)
            return -ENOMEM;
        j->file = p;
        j->cap = cap;
    }
    file = &j->file[j->n++];
    memset(file, 0, sizeof(*file));
    strcpy(file->name, f->name);
    file->size = f->size;
    file->immutable = f->kind == LSM_FILE_TABLE || f->kind == LSM_FILE_SEGMENT;
    j->total += f->size;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* Opening it shows that it is a store, and whole; and while it is open nobody writes. */
static int list_files(struct job *j)
{
    struct lsm_options o;
    int err;

    lsm_options_init(&o);
    o.read_only = true;
    o.verify_bytes = 0; /* all is read anyhow */
    err = store_open(j->t->from, &o, &j->db, j->why);
    if (err)
        return err;
    err = lsm_files(j->db, note_file, j);
    if (err || !j->n)
        return job_why(j, err, j->t->from, "");
    qsort(j->file, j->n, sizeof(*j->file), by_name);
    j->t->files = j->n;
    j->t->bytes = j->total;
    return 0;
}

static struct file *find_file(struct job *j, const char *name)
{
    struct file key;

    if (strlen(name) >= NAME)
        return NULL;
    strcpy(key.name, name);
    return bsearch(&key, j->file, j->n, sizeof(*j->file), by_name);
}

/* ---- SUMS ---- */

/* Into those of j's files that have the size told there. */
static int read_sums(struct job *j, int dir)
{
    int fd = openat(dir, SUMS_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
    uint64_t high, low, size;
    char line[256], name[NAME];

    if (!in) {
        if (fd >= 0)
            close(fd);
        return -errno;
    }
    while (fgets(line, sizeof(line), in)) {
        struct file *f;

        if (sscanf(line, "%16" SCNx64 "%16" SCNx64 " %" SCNu64 " %39s", &high, &low,
                   &size, name) != 4)
            continue;
        f = find_file(j, name);
        if (f && f->size == size) {
            f->sum = (XXH128_hash_t){.low64 = low, .high64 = high};
            f->summed = true;
        }
    }
    fclose(in);
    return 0;
}

static int write_sums(struct job *j)
{
    int fd = openat(j->part, SUMS_NAME,
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    size_t i;
    bool ok;

    if (!out) {
        if (fd >= 0)
            close(fd);
        return -errno;
    }
    for (i = 0; i < j->n; i++)
        fprintf(out, "%016" PRIx64 "%016" PRIx64 " %" PRIu64 " %s\n",
                (uint64_t)j->file[i].sum.high64, (uint64_t)j->file[i].sum.low64,
                j->file[i].size, j->file[i].name);
    ok = fflush(out) == 0 && fsync(fd) == 0;
    return fclose(out) == 0 && ok ? 0 : -EIO;
}

/* ---- bytes ---- */

static int read_at(int fd, uint64_t off, uint8_t *to, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, to + got, len - got, (off_t)(off + got));

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ESTALE; /* shorter than it was */
        got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_at(int fd, uint64_t off, const uint8_t *from, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pwrite(fd, from + done, len - done, (off_t)(off + done));

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int open_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The last TAIL bytes of a file of that size are the same in both. */
static bool same_tail(struct job *j, int a, int b, uint64_t size)
{
    size_t len = size < TAIL ? (size_t)size : TAIL;

    return read_at(a, size - len, j->block, len) == 0 &&
           read_at(b, size - len, j->block + TAIL, len) == 0 &&
           memcmp(j->block, j->block + TAIL, len) == 0;
}

/* Is the file `name` in dir the one that `fd` reads? */
static bool is_same(struct job *j, int fd, int dir, const struct file *f)
{
    int other = open_file(dir, f->name);
    struct stat st;
    bool same = other >= 0 && fstat(other, &st) == 0 && S_ISREG(st.st_mode) &&
                (uint64_t)st.st_size == f->size && same_tail(j, fd, other, f->size);

    if (other >= 0)
        close(other);
    return same;
}

static int hash_file(struct job *j, int fd, uint64_t size, XXH128_hash_t *out)
{
    XXH3_state_t *state = XXH3_createState();
    uint64_t at = 0;
    int err = state ? 0 : -ENOMEM;

    if (state)
        XXH3_128bits_reset(state);
    while (!err && at < size) {
        size_t len = size - at < BLOCK ? (size_t)(size - at) : BLOCK;

        err = read_at(fd, at, j->block, len);
        if (!err)
            XXH3_128bits_update(state, j->block, len);
        at += len;
    }
    if (!err)
        *out = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return err;
}

/* From fd to a new file; sums it on the way. */
static int copy_bytes(struct job *j, int fd, int to, uint64_t size, XXH128_hash_t *sum)
{
    XXH3_state_t *state = XXH3_createState();
    uint64_t at = 0;
    int err = state ? 0 : -ENOMEM;

    if (state)
        XXH3_128bits_reset(state);
    while (!err && at < size) {
        size_t len = size - at < BLOCK ? (size_t)(size - at) : BLOCK;

        err = read_at(fd, at, j->block, len);
        if (!err)
            err = write_at(to, at, j->block, len);
        if (!err)
            XXH3_128bits_update(state, j->block, len);
        at += len;
        j->done += len;
        if (!err && j->t->progress)
            err = j->t->progress(j->t->arg, j->done, j->total, 0);
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
    err = hash_file(j, fd, f->size, &again);
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
    char tmp[NAME + 8];
    int fd, err;

    snprintf(tmp, sizeof(tmp), "%s.tmp", f->name);
    (void)unlinkat(j->part, tmp, 0);
    fd = openat(j->part, tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
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

/* The sum of a file that was not copied just now. */
static int know_sum(struct job *j, int fd, struct file *f)
{
    int err = f->summed ? 0 : hash_file(j, fd, f->size, &f->sum);

    f->summed = f->summed || !err;
    j->done += f->size;
    return err;
}

/* From one of the other stores. */
static int link_from(struct job *j, int dir)
{
    bool any = false;
    size_t i;
    int err = 0;

    for (i = 0; i < j->n && !err; i++) {
        struct file *f = &j->file[i];
        int fd = f->immutable && !f->placed ? open_file(j->from, f->name) : -1;

        if (fd < 0)
            continue;
        if (is_same(j, fd, dir, f)) {
            f->placed = linkat(dir, f->name, j->part, f->name, 0) == 0;
            any = any || f->placed;
            if (!f->placed && errno != EMLINK && errno != EEXIST)
                err = -errno;
        }
        close(fd);
    }
    if (!err && any && !j->t->verify)
        (void)read_sums(j, dir); /* else they are read for it */
    return err;
}

static int link_from_others(struct job *j)
{
    DIR *d = j->t->others ? opendir(j->t->others) : NULL;
    struct dirent *e;
    int err = 0, dir;

    while (d && !err && (e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        dir = openat(dirfd(d), e->d_name,
                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (dir < 0)
            continue;
        err = link_from(j, dir);
        close(dir);
    }
    if (d)
        closedir(d);
    return err;
}

static int bring(struct job *j, struct file *f)
{
    int fd = open_file(j->from, f->name), err;

    if (fd < 0)
        return fd;
    if (f->placed || (f->immutable && is_same(j, fd, j->part, f)))
        err = know_sum(j, fd, f);
    else
        err = copy_file(j, fd, f);
    close(fd);
    return err;
}

/* ---- all of it ---- */

static int open_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int begin(struct job *j)
{
    struct stat st;
    int err;

    if (lstat(j->t->to, &st) == 0)
        return why_set(j->why, -EEXIST, "%s: is there already", j->t->to);
    err = list_files(j);
    if (err)
        return err;
    if (mkdir(j->t->part, 0700) < 0 && errno != EEXIST)
        return job_why(j, -errno, j->t->part, "");
    j->from = open_dir(j->t->from);
    j->part = open_dir(j->t->part);
    err = j->from < 0 ? j->from : j->part < 0 ? j->part : 0;
    if (err)
        return job_why(j, err, j->from < 0 ? j->t->from : j->t->part, "");
    if (j->t->verify && (err = read_sums(j, j->from)))
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
            !find_file(j, e->d_name))
            (void)unlinkat(j->part, e->d_name, 0);
    closedir(d);
    return 0;
}

/* The whole of part is durable; then its name. */
static int end(struct job *j)
{
    char parent[PATH_MAX], *slash;
    int err = remove_others(j), fd;

    if (!err)
        err = write_sums(j);
    if (!err && fsync(j->part) < 0)
        err = -errno;
    if (!err && rename(j->t->part, j->t->to) < 0)
        err = -errno;
    if (err)
        return job_why(j, err, j->t->part, "");
    snprintf(parent, sizeof(parent), "%s", j->t->to);
    slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    fd = open_dir(slash ? parent : ".");
    if (fd < 0 || fsync(fd) < 0)
        err = job_why(j, -errno, parent, "");
    if (fd >= 0)
        close(fd);
    return err;
}

int transfer(struct transfer *t, struct why *why)
{
    struct job j = {.t = t, .why = why, .from = -1, .part = -1};
    size_t i;
    int err;

    why->text[0] = '\0';
    t->copied_files = t->copied_bytes = 0;
    j.block = malloc(BLOCK);
    err = j.block ? begin(&j) : why_set(why, -ENOMEM, "%s", strerror(ENOMEM));
    if (!err && (err = link_from_others(&j)))
        job_why(&j, err, t->others, "");
    for (i = 0; i < j.n && !err; i++) {
        if (t->verify && !j.file[i].summed)
            err = why_set(why, -EUCLEAN, "%s/%s: not in " SUMS_NAME, t->from,
                          j.file[i].name);
        else
            err = bring(&j, &j.file[i]);
        if (err && !why->text[0])
            job_why(&j, err, t->from, j.file[i].name);
    }
    if (!err)
        err = end(&j);
    if (j.from >= 0)
        close(j.from);
    if (j.part >= 0)
        close(j.part);
    lsm_close(j.db); /* read only: nothing to lose */
    free(j.block);
    free(j.file);
    return err;
}
