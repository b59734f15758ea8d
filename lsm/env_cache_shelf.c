/*
 * env_cache_shelf.c - see env_cache_shelf.h.
 *
 * Everything is found by openat from the directory, which is ours and closed to others;
 * no symbolic link is followed in it. Nothing is mapped: who cuts a file short would end
 * the process. Nothing is synced.
 */
#include "env_cache_shelf.h"

#include "coding.h"
#include "env.h"
#include "err.h"
#include "hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { KEPT_SECONDS = 30 * 24 * 60 * 60 };

/* ---- bytes ---- */

static const char magic[] = "siltfs-cache";

void page_seal(uint8_t stored[STORED_PAGE], const uint8_t *data, size_t len,
               uint64_t seed)
{
    memcpy(stored, data, len);
    memset(stored + len, 0, CACHE_PAGE - len);
    store_le64(stored + CACHE_PAGE, hash_bytes(stored, CACHE_PAGE, seed));
}

bool page_sound(const uint8_t stored[STORED_PAGE], uint64_t seed)
{
    return load_le64(stored + CACHE_PAGE) == hash_bytes(stored, CACHE_PAGE, seed);
}

void shelf_header(uint8_t to[SHELF_HEADER])
{
    memset(to, 0, SHELF_HEADER);
    memcpy(to, magic, sizeof(magic));
    store_le32(to + 16, SHELF_VERSION);
    store_le64(to + SHELF_HEADER - 8, hash_bytes(to, SHELF_HEADER - 8, 0));
}

void shelf_entry(uint8_t to[SHELF_ENTRY], uint32_t slot, uint64_t key)
{
    store_le64(to, key);
    store_le64(to + 8, hash_bytes(to, 8, slot));
}

uint64_t shelf_entry_key(const uint8_t entry[SHELF_ENTRY], uint32_t slot)
{
    return load_le64(entry + 8) == hash_bytes(entry, 8, slot) ? load_le64(entry) : 0;
}

uint32_t shelf_slots(uint64_t bytes)
{
    uint64_t n = bytes / SHELF_BYTES * SHELF_SLOTS, rest = bytes % SHELF_BYTES;

    if (rest > SHELF_BASE)
        n += (rest - SHELF_BASE) / SLOT_BYTES;
    return n < UINT32_MAX / 2 ? (uint32_t)n : UINT32_MAX / 2;
}

/* ---- shelves ---- */

static off_t slot_offset(uint32_t slot)
{
    return SHELF_BASE + (off_t)(slot % SHELF_SLOTS) * SLOT_BYTES;
}

static int write_at(int fd, const void *from, size_t len, off_t off)
{
    const uint8_t *at = from;

    while (len) {
        ssize_t n = pwrite(fd, at, len, off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        at += n;
        len -= (size_t)n;
        off += n;
    }
    return 0;
}

/* What is in memory first, so that the hook is called only by who is about to wait. */
static int read_at(int fd, void *to, size_t len, off_t off)
{
    struct iovec iov = {to, len};
    ssize_t n = preadv2(fd, &iov, 1, off, RWF_NOWAIT);

    if (n == (ssize_t)len)
        return 0;
    env_about_to_block();
    do
        n = pread(fd, to, len, off);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return n == (ssize_t)len ? 0 : -ENODATA;
}

static void shelf_name(char to[32], uint32_t i)
{
    snprintf(to, 32, "%06u.blocks", (unsigned)i);
}

static int shelf_open(const struct shelves *s, uint32_t i, int flags)
{
    char name[32];
    struct stat st;
    int fd;

    shelf_name(name, i);
    fd = openat(s->dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return fd;
    close(fd);
    return -EINVAL;
}

/* A new one in place of whatever may be there. */
static int shelf_make(const struct shelves *s, uint32_t i)
{
    uint8_t header[SHELF_HEADER];
    char name[32];
    int fd, rc;

    shelf_name(name, i);
    if (unlinkat(s->dir, name, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = shelf_open(s, i, O_CREAT | O_EXCL);
    if (fd < 0)
        return fd;
    shelf_header(header);
    rc = write_at(fd, header, sizeof(header), 0);
    if (!rc)
        return fd;
    close(fd);
    return rc;
}

static bool header_sound(int fd)
{
    uint8_t want[SHELF_HEADER], has[SHELF_HEADER];

    shelf_header(want);
    return read_at(fd, has, sizeof(has), 0) == 0 && memcmp(has, want, sizeof(has)) == 0;
}

/* What the shelf says that its slots hold. *used: of its slots. */
static int shelf_load(struct shelves *s, uint32_t i, shelf_entry_fn *fn, void *arg,
                      uint32_t *used)
{
    uint32_t first = i * SHELF_SLOTS, most = s->max - first, k;
    uint8_t *entries = calloc(SHELF_SLOTS, SHELF_ENTRY);
    struct stat st;
    int rc = entries ? 0 : -ENOMEM;

    most = most < SHELF_SLOTS ? most : SHELF_SLOTS;
    *used = 0;
    if (!rc && fstat(s->fd[i], &st) < 0)
        rc = -errno;
    if (!rc && st.st_size > SHELF_BASE) {
        uint64_t n = ((uint64_t)st.st_size - SHELF_BASE + SLOT_BYTES - 1) / SLOT_BYTES;

        *used = n < most ? (uint32_t)n : most;
        if (n > most && ftruncate(s->fd[i], slot_offset(most - 1) + SLOT_BYTES) < 0)
            rc = -errno;
    }
    if (!rc && *used)
        rc = read_at(s->fd[i], entries, (size_t)*used * SHELF_ENTRY, SHELF_HEADER);
    for (k = 0; !rc && k < *used; k++) {
        uint64_t key = shelf_entry_key(entries + (size_t)k * SHELF_ENTRY, k);

        if (key)
            fn(arg, first + k, key);
    }
    free(entries);
    return rc;
}

/* What comes after the first n is of a larger cache, or of none. */
static void remove_from(struct shelves *s, uint32_t n)
{
    DIR *d = fdopendir(openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *e;
    uint32_t i;

    for (i = n; i < s->n; i++) {
        if (s->fd[i] >= 0)
            close(s->fd[i]);
        s->fd[i] = -1;
    }
    while (d && (e = readdir(d))) {
        size_t len = strlen(e->d_name);

        if (len > 7 && strcmp(e->d_name + len - 7, ".blocks") == 0 &&
            strtoull(e->d_name, NULL, 10) >= n)
            unlinkat(s->dir, e->d_name, 0);
    }
    if (d)
        closedir(d);
}

static int load_all(struct shelves *s, shelf_entry_fn *fn, void *arg, uint32_t *used)
{
    uint32_t i, n;
    int rc = 0;

    *used = 0;
    for (i = 0; i < s->n && !rc; i++) {
        int fd = shelf_open(s, i, 0);

        if (fd < 0)
            break;
        s->fd[i] = fd;
        if (!header_sound(fd))
            break;
        rc = shelf_load(s, i, fn, arg, &n);
        *used += n;
        if (n < SHELF_SLOTS)
            break;
    }
    remove_from(s, *used / SHELF_SLOTS + (*used % SHELF_SLOTS != 0));
    return rc;
}

static int open_dir(int at, const char *path)
{
    struct stat st;
    int fd;

    if (mkdirat(at, path, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(at, path,
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | (at == AT_FDCWD ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
        return fd;
    close(fd);
    return -EPERM;
}

/* Its time says when the directory was used last. */
static int open_lock(int dir)
{
    int fd =
        openat(dir, "LOCK", O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
    close(fd);
    return rc;
}

static void remove_all(int top, const char *name, int fd)
{
    struct shelves s = {.dir = fd};

    remove_from(&s, 0);
    unlinkat(fd, "LOCK", 0);
    unlinkat(top, name, AT_REMOVEDIR);
}

/* What was kept for stores that nobody has mounted for a long time goes. */
static void forget_old(int top)
{
    DIR *d = fdopendir(openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *e;
    struct stat st;

    while (d && (e = readdir(d))) {
        int fd = -1, lock = -1;

        if (strlen(e->d_name) == 16 && strspn(e->d_name, "0123456789abcdef") == 16)
            fd = openat(top, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && fstatat(fd, "LOCK", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtim.tv_sec < time(NULL) - KEPT_SECONDS && (lock = open_lock(fd)) >= 0)
            remove_all(top, e->d_name, fd);
        if (lock >= 0)
            close(lock);
        if (fd >= 0)
            close(fd);
    }
    if (d)
        closedir(d);
}

int shelves_open(struct shelves *s, const char *dir, const char *name, uint32_t max,
                 shelf_entry_fn *fn, void *arg, uint32_t *used)
{
    uint32_t i;
    int top, rc;

    *s = (struct shelves){.path = dir, .dir = -1, .lock = -1, .max = max};
    s->n = max / SHELF_SLOTS + (max % SHELF_SLOTS != 0);
    s->fd = malloc(s->n * sizeof(*s->fd));
    if (!s->fd)
        return -ENOMEM;
    for (i = 0; i < s->n; i++)
        s->fd[i] = -1;
    top = open_dir(AT_FDCWD, dir);
    rc = top < 0 ? top : 0;
    if (!rc) {
        s->dir = open_dir(top, name);
        rc = s->dir < 0 ? s->dir : 0;
    }
    if (!rc) {
        s->lock = open_lock(s->dir);
        rc = s->lock < 0 ? s->lock : 0;
    }
    if (!rc) {
        (void)futimens(s->lock, NULL);
        forget_old(top);
        rc = load_all(s, fn, arg, used);
    }
    if (top >= 0)
        close(top);
    if (rc)
        shelves_close(s);
    return rc;
}

void shelves_close(struct shelves *s)
{
    uint32_t i;

    for (i = 0; i < s->n && s->fd; i++)
        if (s->fd[i] >= 0)
            close(s->fd[i]);
    if (s->dir >= 0)
        close(s->dir);
    if (s->lock >= 0) {
        (void)futimens(s->lock, NULL);
        close(s->lock);
    }
    free(s->fd);
    *s = (struct shelves){.dir = -1, .lock = -1};
}

/* ---- slots ---- */

static int shelf_fd(const struct shelves *s, uint32_t slot)
{
    return __atomic_load_n(&s->fd[slot / SHELF_SLOTS], __ATOMIC_ACQUIRE);
}

int shelf_read(struct shelves *s, uint32_t slot, unsigned page, unsigned n, uint8_t *to)
{
    int fd = shelf_fd(s, slot);

    if (fd < 0)
        return -ENODATA;
    return read_at(fd, to, (size_t)n * STORED_PAGE,
                   slot_offset(slot) + (off_t)page * STORED_PAGE);
}

int shelf_write(struct shelves *s, uint32_t slot, uint64_t key, const uint8_t *stored,
                unsigned n)
{
    uint8_t entry[SHELF_ENTRY];
    int fd = shelf_fd(s, slot), rc;

    if (fd < 0) {
        fd = shelf_make(s, slot / SHELF_SLOTS);
        if (fd < 0)
            return fd;
        __atomic_store_n(&s->fd[slot / SHELF_SLOTS], fd, __ATOMIC_RELEASE);
    }
    rc = write_at(fd, stored, (size_t)n * STORED_PAGE, slot_offset(slot));
    if (rc)
        return rc;
    shelf_entry(entry, slot % SHELF_SLOTS, key);
    return write_at(fd, entry, sizeof(entry),
                    SHELF_HEADER + (off_t)(slot % SHELF_SLOTS) * SHELF_ENTRY);
}

void shelf_erase(struct shelves *s, uint32_t slot)
{
    static const uint8_t nothing[SHELF_ENTRY];
    int fd = shelf_fd(s, slot);

    if (fd >= 0)
        (void)write_at(fd, nothing, sizeof(nothing),
                       SHELF_HEADER + (off_t)(slot % SHELF_SLOTS) * SHELF_ENTRY);
}

void shelf_readahead(struct shelves *s, uint32_t slot)
{
    int fd = shelf_fd(s, slot);

    if (fd >= 0)
        posix_fadvise(fd, slot_offset(slot), SLOT_BYTES, POSIX_FADV_WILLNEED);
}

/* Files stay open: a reader may be in one. */
int shelves_cut(struct shelves *s, uint32_t n)
{
    uint32_t i;
    int rc = 0;

    for (i = n / SHELF_SLOTS; i < s->n; i++) {
        off_t size =
            i == n / SHELF_SLOTS && n % SHELF_SLOTS ? slot_offset(n) : SHELF_BASE;
        struct stat st;

        if (s->fd[i] < 0)
            continue;
        if (fstat(s->fd[i], &st) < 0 ||
            (st.st_size > size && ftruncate(s->fd[i], size) < 0))
            rc = -errno;
    }
    return rc;
}

static bool unlinked(int fd)
{
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0;
}

bool shelves_gone(const struct shelves *s)
{
    bool gone = unlinked(s->dir);
    uint32_t i;

    for (i = 0; i < s->n && !gone; i++)
        gone = unlinked(s->fd[i]);
    return gone;
}

int shelves_space(const struct shelves *s, uint64_t *total, uint64_t *avail)
{
    struct statvfs v;

    if (fstatvfs(s->dir, &v) < 0)
        return -errno;
    *total = (uint64_t)v.f_blocks * v.f_frsize;
    *avail = (uint64_t)v.f_bavail * v.f_frsize;
    return 0;
}
