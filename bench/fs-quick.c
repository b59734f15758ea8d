/*
 * fs-quick.c - first figures of a filesystem, any: what one client sees in DIR.
 *
 *   fs-quick files DIR FILES BYTES ROUNDS   many small files: create, stat,
 * list, read, unlink, per second fs-quick stream DIR MIB [BACKING]       one
 * large file, written and read once, MB (10^6 bytes) per second
 *
 * files: each round uses a new directory; the median of the rounds is told.
 *   create  open, write and close          list  readdir, and lstat of each
 * entry stat    lstat                          read  open, read and close
 *   unlink
 * stream, in blocks of 1 MiB that compress to half:
 *   write        until the last write returned
 *   write+fsync  until fsync returned
 *   read         what the kernel holds of the file was dropped, but not of the
 * files in the directory BACKING that it is made of read-cold    of them, too;
 * without BACKING there is only this
 */
#include "bench.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
    BLOCK_BYTES = 1 << 20,
    BLOCKS = 16, /* different ones */
    ROUNDS_MAX = 15,
};

/* ---- many small files ---- */

struct files {
    int dir; /* the round's directory */
    unsigned count;
    size_t bytes;
    uint8_t *content; /* BLOCK_BYTES, of which a file has some */
    uint8_t *to;      /* bytes + 1, to see that there are no more */
};

static const char *name_of(unsigned i, char name[16])
{
    snprintf(name, 16, "file%07u", i);
    return name;
}

static const void *content_of(const struct files *f, unsigned i)
{
    return f->content + (size_t)i * 61 % (BLOCK_BYTES - f->bytes);
}

static void create(struct files *f)
{
    char name[16];

    for (unsigned i = 0; i < f->count; i++) {
        int fd = openat(f->dir, name_of(i, name), O_CREAT | O_EXCL | O_WRONLY, 0644);

        if (fd < 0 || write(fd, content_of(f, i), f->bytes) != (ssize_t)f->bytes ||
            close(fd) != 0)
            bench_die(-errno, "create %s", name);
    }
}

static void stat_one(const struct files *f, const char *name)
{
    struct stat st;

    if (fstatat(f->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        bench_die(-errno, "stat %s", name);
    if (S_ISREG(st.st_mode) && st.st_size != (off_t)f->bytes)
        bench_die(0, "stat %s: the size is wrong", name);
}

static void stat_all(struct files *f)
{
    char name[16];

    for (unsigned i = 0; i < f->count; i++)
        stat_one(f, name_of(i, name));
}

static void list(struct files *f)
{
    DIR *d = fdopendir(openat(f->dir, ".", O_RDONLY | O_DIRECTORY));
    unsigned entries = 0;
    struct dirent *e;

    if (!d)
        bench_die(-errno, "list");
    for (errno = 0; (e = readdir(d)) != NULL; errno = 0, entries++)
        stat_one(f, e->d_name);
    if (errno || entries != f->count + 2)
        bench_die(-errno, "list: %u entries", entries);
    closedir(d);
}

static void read_all(struct files *f)
{
    char name[16];

    for (unsigned i = 0; i < f->count; i++) {
        int fd = openat(f->dir, name_of(i, name), O_RDONLY);

        if (fd < 0 || read(fd, f->to, f->bytes + 1) != (ssize_t)f->bytes ||
            close(fd) != 0)
            bench_die(-errno, "read %s", name);
        if (memcmp(f->to, content_of(f, i), f->bytes) != 0)
            bench_die(0, "read %s: the content is wrong", name);
    }
}

static void unlink_all(struct files *f)
{
    char name[16];

    for (unsigned i = 0; i < f->count; i++) {
        if (unlinkat(f->dir, name_of(i, name), 0) != 0)
            bench_die(-errno, "unlink %s", name);
    }
}

static const struct {
    const char *name;
    void (*work)(struct files *);
} phases[] = {
    {"create", create}, {"stat", stat_all},     {"list", list},
    {"read", read_all}, {"unlink", unlink_all},
};

enum { PHASES = sizeof(phases) / sizeof(phases[0]) };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
    qsort(v, n, sizeof(*v), by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* No directory's name comes twice, not even in another run: see bench/quick, host. */
static void round_of_files(struct files *f, const char *dir, unsigned round,
                           double rates[PHASES][ROUNDS_MAX])
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/round-%d-%u", dir, (int)getpid(), round);
    if (mkdir(path, 0755) != 0 || (f->dir = open(path, O_RDONLY | O_DIRECTORY)) < 0)
        bench_die(-errno, "%s", path);
    for (int p = 0; p < PHASES; p++) {
        uint64_t start = bench_now_ns();

        phases[p].work(f);
        rates[p][round] = bench_per_second(f->count, bench_now_ns() - start);
    }
    close(f->dir);
    if (rmdir(path) != 0)
        bench_die(-errno, "%s", path);
}

static void files(const char *dir, unsigned count, size_t bytes, unsigned rounds)
{
    struct files f = {.count = count, .bytes = bytes};
    double rates[PHASES][ROUNDS_MAX];
    uint64_t random = 20;

    f.content = malloc(BLOCK_BYTES);
    f.to = malloc(bytes + 1);
    if (!f.content || !f.to)
        bench_die(-ENOMEM, "files");
    bench_fill(f.content, BLOCK_BYTES, &random);
    for (unsigned i = 0; i < rounds; i++)
        round_of_files(&f, dir, i, rates);
    for (int p = 0; p < PHASES; p++)
        bench_result(phases[p].name, median(rates[p], rounds), "1/s");
    free(f.content);
    free(f.to);
}

/* ---- one large file ---- */

static void write_stream(int fd, uint8_t *blocks, unsigned mib)
{
    uint64_t start = bench_now_ns();
    double mb = (double)mib * BLOCK_BYTES / 1e6;

    for (unsigned i = 0; i < mib; i++) {
        const uint8_t *block = blocks + (size_t)(i % BLOCKS) * BLOCK_BYTES;

        if (write(fd, block, BLOCK_BYTES) != BLOCK_BYTES)
            bench_die(-errno, "write");
    }
    bench_result("write", bench_per_second(mb, bench_now_ns() - start), "MB/s");
    if (fsync(fd) != 0)
        bench_die(-errno, "fsync");
    bench_result("write+fsync", bench_per_second(mb, bench_now_ns() - start), "MB/s");
}

static void read_stream(int fd, uint8_t *block, unsigned mib, const char *name)
{
    uint64_t start = bench_now_ns(), total = 0;
    ssize_t n;

    if (lseek(fd, 0, SEEK_SET) != 0)
        bench_die(-errno, "seek");
    while ((n = read(fd, block, BLOCK_BYTES)) > 0)
        total += (uint64_t)n;
    if (n < 0 || total != (uint64_t)mib * BLOCK_BYTES)
        bench_die(n < 0 ? -errno : 0, "read: %" PRIu64 " bytes", total);
    bench_result(name, bench_per_second((double)total / 1e6, bench_now_ns() - start),
                 "MB/s");
}

/* Clean pages only: sync first. */
static void drop_pages(int fd)
{
    int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);

    if (error)
        bench_die(-error, "posix_fadvise");
}

static void drop_pages_below(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d)
        bench_die(-errno, "%s", dir);
    while ((e = readdir(d)) != NULL) {
        int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_NONBLOCK);

        if (fd < 0)
            continue; /* deleted meanwhile: it has none */
        if (e->d_type == DT_REG)
            drop_pages(fd);
        close(fd);
    }
    closedir(d);
}

static void stream(const char *dir, unsigned mib, const char *backing)
{
    uint8_t *blocks = malloc((size_t)BLOCKS * BLOCK_BYTES);
    uint64_t random = 20;
    char path[4096];
    int fd;

    if (!blocks)
        bench_die(-ENOMEM, "blocks");
    bench_fill(blocks, (size_t)BLOCKS * BLOCK_BYTES, &random);
    snprintf(path, sizeof(path), "%s/stream", dir);
    fd = open(path, O_CREAT | O_EXCL | O_RDWR, 0644);
    if (fd < 0)
        bench_die(-errno, "%s", path);
    write_stream(fd, blocks, mib);
    drop_pages(fd);
    if (backing) {
        read_stream(fd, blocks, mib, "read");
        drop_pages_below(backing);
        drop_pages(fd);
    }
    read_stream(fd, blocks, mib, "read-cold");
    if (close(fd) != 0 || unlink(path) != 0)
        bench_die(-errno, "%s", path);
    free(blocks);
}

/* ---- arguments ---- */

static unsigned number(const char *s, unsigned most)
{
    char *end;
    unsigned long n = strtoul(s, &end, 10);

    if (end == s || *end || n == 0 || n > most)
        bench_die(0, "fs-quick: %s is not a number from 1 to %u", s, most);
    return (unsigned)n;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "files") == 0)
        files(argv[2], number(argv[3], 9999999), number(argv[4], BLOCK_BYTES / 2),
              number(argv[5], 3600));
    else if ((argc == 4 || argc == 5) && strcmp(argv[1], "stream") == 0)
        stream(argv[2], number(argv[3], 1 << 20), argc == 5 ? argv[4] : NULL);
    else
        bench_die(0, "usage: fs-quick files DIR FILES BYTES SECONDS\n"
                     "       fs-quick stream DIR MIB [BACKING]");
    return 0;
}
