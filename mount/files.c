/*
 * files.c - see files.h.
 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

/* ---- the list ---- */

int files_add(struct files *f, const char *name, uint64_t size, struct file **out)
{
    struct file *file;

    if (strlen(name) >= FILES_NAME)
        return -EUCLEAN;
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        void *p = realloc(f->file, cap * sizeof(*f->file));

        if (!p)
            return -ENOMEM;
        f->file = p;
        f->cap = cap;
    }
    file = &f->file[f->n++];
    memset(file, 0, sizeof(*file));
    strcpy(file->name, name);
    file->size = size;
    f->bytes += size;
    *out = file;
    return 0;
}

static int note_file(void *arg, const struct lsm_file *from)
{
    struct file *file;
    int err = files_add(arg, from->name, from->size, &file);

    if (!err)
        file->immutable = from->kind == LSM_FILE_TABLE || from->kind == LSM_FILE_SEGMENT;
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

/* What tells this very file from all others of its name. */
static int identify(struct files *f)
{
    struct stat st;
    size_t i;

    for (i = 0; i < f->n; i++) {
        if (fstatat(f->dir, f->file[i].name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        f->file[i].ino = st.st_ino;
        f->file[i].mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
    }
    return 0;
}

int files_open(struct files *f, const char *path, struct why *why)
{
    struct lsm_options o;
    int err;

    memset(f, 0, sizeof(*f));
    f->dir = -1;
    err = store_only_directory(path, why);
    if (err)
        return err;
    lsm_options_init(&o);
    o.read_only = true;
    o.verify_bytes = 0; /* who carries it reads all anyhow */
    err = store_open(path, &o, &f->db, why);
    if (err)
        return err;
    f->dir = open_dir(path);
    err = f->dir < 0 ? f->dir : lsm_files(f->db, note_file, f);
    if (!err)
        err = identify(f);
    if (err)
        return why_set(why, err, "%s: %s", path, strerror(-err));
    files_sort(f);
    return 0;
}

void files_sort(struct files *f)
{
    if (f->n)
        qsort(f->file, f->n, sizeof(*f->file), by_name);
}

void files_close(struct files *f)
{
    if (f->dir >= 0)
        close(f->dir);
    lsm_close(f->db); /* read only: nothing to lose */
    free(f->file);
    memset(f, 0, sizeof(*f));
    f->dir = -1;
}

struct file *files_find(const struct files *f, const char *name)
{
    struct file key;

    if (strlen(name) >= FILES_NAME || !f->n)
        return NULL;
    strcpy(key.name, name);
    return bsearch(&key, f->file, f->n, sizeof(*f->file), by_name);
}

/* ---- SUMS ---- */

int files_read_sums(int dir, file_fn *fn, void *arg)
{
    int fd = open_file(dir, SUMS_NAME), err = 0;
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");
    char line[256];

    if (!in) {
        if (fd >= 0)
            close(fd);
        return fd < 0 ? fd : -ENOMEM;
    }
    while (!err && fgets(line, sizeof(line), in)) {
        struct file f = {.summed = true};
        uint64_t high, low;

        if (sscanf(line,
                   "%16" SCNx64 "%16" SCNx64 " %" SCNu64 " %39s %" SCNu64 " %" SCNd64,
                   &high, &low, &f.size, f.name, &f.ino, &f.mtime_ns) != 6)
            continue;
        f.sum = (XXH128_hash_t){.low64 = low, .high64 = high};
        err = fn(arg, &f);
    }
    fclose(in);
    return err;
}

int files_write_sums(const struct files *f, int dir)
{
    FILE *out;
    size_t i;
    bool ok;
    int fd;

    (void)unlinkat(dir, SUMS_NAME, 0); /* of an earlier attempt */
    fd = make_file(dir, SUMS_NAME);
    out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        if (fd >= 0)
            close(fd);
        return fd < 0 ? fd : -ENOMEM;
    }
    for (i = 0; i < f->n; i++)
        fprintf(out,
                "%016" PRIx64 "%016" PRIx64 " %" PRIu64 " %s %" PRIu64 " %" PRId64 "\n",
                (uint64_t)f->file[i].sum.high64, (uint64_t)f->file[i].sum.low64,
                f->file[i].size, f->file[i].name, f->file[i].ino, f->file[i].mtime_ns);
    ok = fflush(out) == 0 && fsync(fd) == 0;
    return fclose(out) == 0 && ok ? 0 : -EIO;
}

/* ---- bytes ---- */

int read_at(int fd, uint64_t off, void *to, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, (char *)to + got, len - got, (off_t)(off + got));

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ESTALE;
        got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int write_at(int fd, uint64_t off, const void *from, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n =
            pwrite(fd, (const char *)from + done, len - done, (off_t)(off + done));

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int open_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -EUCLEAN;
}

/* It may stay root's where it cannot be given away. */
int make_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;
    int rc = 0;

    if (fd < 0)
        return -errno;
    if (geteuid() == 0 && fstat(dir, &st) == 0 && st.st_uid != 0)
        rc = fchown(fd, st.st_uid, st.st_gid);
    (void)rc;
    return fd;
}

int open_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int tail_sum(int fd, uint64_t size, uint64_t *sum)
{
    size_t len = size < FILES_TAIL ? (size_t)size : FILES_TAIL;
    uint8_t *tail = malloc(FILES_TAIL);
    int err = tail ? read_at(fd, size - len, tail, len) : -ENOMEM;

    if (!err)
        *sum = XXH3_64bits(tail, len);
    free(tail);
    return err;
}

int hash_file(int fd, uint64_t size, XXH128_hash_t *out)
{
    XXH3_state_t *state = XXH3_createState();
    uint8_t *block = malloc(FILES_BLOCK);
    int err = state && block ? 0 : -ENOMEM;
    uint64_t at = 0;

    if (state)
        XXH3_128bits_reset(state);
    while (!err && at < size) {
        size_t len = size - at < FILES_BLOCK ? (size_t)(size - at) : FILES_BLOCK;

        err = read_at(fd, at, block, len);
        if (!err)
            XXH3_128bits_update(state, block, len);
        at += len;
    }
    if (!err)
        *out = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    free(block);
    return err;
}

bool file_is(int dir, const char *name, uint64_t size, uint64_t tail)
{
    int fd = open_file(dir, name);
    uint64_t its = 0;
    struct stat st;
    bool same;

    if (fd < 0)
        return false;
    same = fstat(fd, &st) == 0 && (uint64_t)st.st_size == size &&
           tail_sum(fd, size, &its) == 0 && its == tail;
    close(fd);
    return same;
}

int sync_parent(const char *path)
{
    char parent[PATH_MAX], *slash;
    int fd, err = 0;

    if (snprintf(parent, sizeof(parent), "%s", path) >= PATH_MAX)
        return -ENAMETOOLONG;
    slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    fd = open_dir(slash ? parent : ".");
    if (fd < 0)
        return fd;
    if (fsync(fd) < 0)
        err = -errno;
    close(fd);
    return err;
}
