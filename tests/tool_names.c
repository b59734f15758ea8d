/*
 * tool_names.c - eight threads over few names of a directory of a mount.
 *
 *     tool_names DIR SECONDS SEED
 *
 * They create, link, rename (all flags), unlink, mkdir, rmdir and symlink the same five
 * names, four deep, and look meanwhile: stat, list, open and read, through paths and
 * through directories that may be removed by now. What must hold at every moment is
 * asserted there and then; every half second they rest, and the whole tree is walked and
 * counted. Prints the operations done; exits with 1 and a line for what does not hold.
 *
 * Kept through it all, below DIR/d0 to d2:
 *   x, y      exchanged for each other, so both are always there
 *   cur       replaced by rename, so it can always be opened
 *   keep-*    never touched, so in every listing
 *   token-*   moved between the directories with NOREPLACE, so none is ever lost
 * A file's content is its inode number, written after it was made.
 */
#include "tests/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS = 8,
    DIRS = 3,
    KEPT = 4,
    TOKENS = 8,
    LIST_MAX = 256,
    DEEP = 100, /* deeper than that the tree is cut */
    REST_MS = 500,
};

static int top; /* DIR */
static atomic_bool rest;
static _Atomic uint64_t operations;

struct worker {
    pthread_t thread;
    uint64_t rnd;
    int dir; /* a directory kept open, perhaps removed; or -1 */
};

static void wrong(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

static void wrong(const char *format, ...)
{
    int err = errno;
    va_list args;

    flockfile(stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (errno: %s)\n", strerror(err));
    va_end(args);
    _exit(1);
}

static unsigned below(struct worker *w, unsigned n)
{
    return (unsigned)test_below(&w->rnd, n);
}

/* What such calls may fail with, while others change the tree; as on ext4. EACCES: what
 * WHITEOUT leaves is a device, and devices cannot be opened with nodev. */
static void expect(int rc, const char *what, const char *path)
{
    static const int fine[] = {ENOENT, EEXIST, ENOTEMPTY, EISDIR, ENOTDIR,
                               EINVAL, EPERM,  ELOOP,     ENXIO,  EACCES};

    if (rc >= 0)
        return;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        if (errno == fine[i])
            return;
    }
    wrong("%s %s", what, path);
}

/* ---- paths ---- */

struct path {
    char text[64];
};

static struct path any_path(struct worker *w)
{
    unsigned depth = 1 + below(w, 3), i;
    struct path p;
    int len = snprintf(p.text, sizeof(p.text), "d%u", below(w, DIRS));

    for (i = 0; i < depth; i++)
        len += snprintf(p.text + len, sizeof(p.text) - (size_t)len, "/%c",
                        (char)('a' + below(w, 5)));
    return p;
}

static struct path in_dir(struct worker *w, const char *name)
{
    struct path p;

    snprintf(p.text, sizeof(p.text), "d%u/%s", below(w, DIRS), name);
    return p;
}

/* ---- listings ---- */

struct entry {
    uint64_t ino;
    unsigned char type;
    char name[32];
};

/* What one call of getdents tells: one moment of the directory, if it is small. */
static int list(int fd, struct entry *e)
{
    char buf[16384] __attribute__((aligned(8)));
    long n = syscall(SYS_getdents64, fd, buf, sizeof(buf)), at;
    int count = 0;

    if (n < 0)
        return -1;
    for (at = 0; at < n; count++) {
        const struct dirent64 *d = (const void *)(buf + at);

        if (count == LIST_MAX)
            wrong("a directory with more than %d names", LIST_MAX);
        e[count].ino = d->d_ino;
        e[count].type = d->d_type;
        snprintf(e[count].name, sizeof(e[count].name), "%.31s", d->d_name);
        at += d->d_reclen;
    }
    return count;
}

static const struct entry *listed(const struct entry *e, int n, const char *name)
{
    const struct entry *found = NULL;

    for (int i = 0; i < n; i++) {
        if (strcmp(e[i].name, name) != 0)
            continue;
        if (found)
            wrong("%s is listed twice, as %llu and %llu", name,
                  (unsigned long long)found->ino, (unsigned long long)e[i].ino);
        found = &e[i];
    }
    return found;
}

/* A listing of d0, d1 or d2, whatever is done there meanwhile. */
static void check_listing(int fd)
{
    struct entry e[LIST_MAX];
    const struct entry *x, *y;
    char name[32];
    int n = list(fd, e), i;

    if (n < 2)
        wrong("listing gives %d names", n);
    for (i = 0; i < n; i++)
        listed(e, n, e[i].name);
    for (i = 0; i < KEPT; i++) {
        snprintf(name, sizeof(name), "keep-%d", i);
        if (!listed(e, n, name))
            wrong("%s is not listed", name);
    }
    x = listed(e, n, "x");
    y = listed(e, n, "y");
    if (!x || !y || x->ino == y->ino)
        wrong("x and y are listed as %llu and %llu", x ? (unsigned long long)x->ino : 0,
              y ? (unsigned long long)y->ino : 0);
    if (!listed(e, n, "cur"))
        wrong("cur is not listed");
}

/* ---- files ---- */

/* Content is the inode's number, or not yet there. */
static void check_content(int fd, const char *path)
{
    char text[32], want[32];
    struct stat st;
    ssize_t n = pread(fd, text, sizeof(text), 0);

    if (n < 0 || fstat(fd, &st) < 0)
        wrong("read of %s", path);
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1000)
        wrong("%s: mode %o, %lu links", path, st.st_mode, (unsigned long)st.st_nlink);
    snprintf(want, sizeof(want), "%llu", (unsigned long long)st.st_ino);
    if (n && ((size_t)n != strlen(want) || memcmp(text, want, (size_t)n) != 0))
        wrong("%s is %s and has the content of %.*s", path, want, (int)n, text);
}

static void fill(int fd, const char *path)
{
    char text[32];
    struct stat st;
    int len;

    if (fstat(fd, &st) < 0)
        wrong("fstat of %s", path);
    len = snprintf(text, sizeof(text), "%llu", (unsigned long long)st.st_ino);
    if (pwrite(fd, text, (size_t)len, 0) != len)
        wrong("write of %s", path);
}

static int make_file(const char *path)
{
    int fd = openat(top, path, O_CREAT | O_EXCL | O_RDWR, 0644);

    if (fd >= 0) {
        fill(fd, path);
        close(fd);
    }
    return fd < 0 ? -1 : 0;
}

/* A file that gets its name when its content is there already. */
static int make_whole_file(const char *path)
{
    char name[32];
    int fd = openat(top, "d0", O_TMPFILE | O_RDWR, 0644), rc;

    if (fd < 0)
        return errno == EOPNOTSUPP ? make_file(path) : -1;
    fill(fd, path);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    rc = linkat(AT_FDCWD, name, top, path, AT_SYMLINK_FOLLOW);
    close(fd);
    return rc;
}

static int move(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, top, from, top, to, flags);
}

/* ---- steps: changing names ---- */

static void make(struct worker *w)
{
    struct path p = any_path(w), to = any_path(w);
    int rc;

    switch (below(w, 7)) {
    case 0:
    case 1:
        rc = mkdirat(top, p.text, 0755);
        break;
    case 2:
        rc = symlinkat("to-nowhere", top, p.text);
        break;
    case 3:
        rc = mknodat(top, p.text, S_IFIFO | 0644, 0);
        break;
    case 4:
        rc = linkat(top, p.text, top, to.text, 0);
        break;
    case 5:
        rc = make_whole_file(p.text);
        break;
    default:
        rc = make_file(p.text);
    }
    expect(rc, "making", p.text);
}

static void change(struct worker *w)
{
    static const unsigned flags[] = {
        0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE, RENAME_WHITEOUT};
    struct path p = any_path(w), to = any_path(w);

    switch (below(w, 4)) {
    case 0:
        expect(unlinkat(top, p.text, 0), "unlink", p.text);
        break;
    case 1:
        expect(unlinkat(top, p.text, AT_REMOVEDIR), "rmdir", p.text);
        break;
    default:
        expect(move(p.text, to.text, flags[below(w, 6)]), "rename", p.text);
    }
}

/* By a directory that is open, whose name may be gone. */
static void change_below(struct worker *w)
{
    char name[2] = {(char)('a' + below(w, 5)), 0};
    struct path p = any_path(w);

    if (w->dir >= 0 && below(w, 8) == 0) {
        close(w->dir);
        w->dir = -1;
    }
    if (w->dir < 0)
        w->dir = openat(top, p.text, O_RDONLY | O_DIRECTORY);
    if (w->dir < 0) {
        expect(-1, "opening", p.text);
        return;
    }
    switch (below(w, 4)) {
    case 0:
        expect(mkdirat(w->dir, name, 0755), "mkdir below", name);
        break;
    case 1:
        expect(unlinkat(w->dir, name, below(w, 2) ? AT_REMOVEDIR : 0), "removing below",
               name);
        break;
    case 2:
        expect(renameat(w->dir, name, top, p.text), "rename from below", name);
        break;
    default:
        expect(renameat(top, p.text, w->dir, name), "rename to below", name);
    }
}

/* What is kept through it all. */
static void shuffle(struct worker *w)
{
    struct path x = in_dir(w, "x"), y = in_dir(w, below(w, 2) ? "x" : "y");
    struct path cur = in_dir(w, "cur"), from, to;
    char name[32];

    switch (below(w, 3)) {
    case 0:
        if (strcmp(x.text, y.text) != 0 && move(x.text, y.text, RENAME_EXCHANGE) < 0)
            wrong("exchange of %s and %s", x.text, y.text);
        break;
    case 1:
        snprintf(name, sizeof(name), "new-%lx", (unsigned long)(w->thread & 0xffffffff));
        from = in_dir(w, name);
        if (make_file(from.text) < 0 || move(from.text, cur.text, 0) < 0)
            wrong("replacing %s", cur.text);
        break;
    default:
        snprintf(name, sizeof(name), "token-%u", below(w, TOKENS));
        from = in_dir(w, name);
        to = in_dir(w, name);
        if (move(from.text, to.text, RENAME_NOREPLACE) < 0 && errno != ENOENT &&
            errno != EEXIST)
            wrong("moving %s", from.text);
    }
}

/* ---- steps: looking ---- */

static void look_at_name(struct worker *w)
{
    struct path p = any_path(w);
    char target[32];
    struct stat st;
    ssize_t n;
    int fd;

    switch (below(w, 3)) {
    case 0:
        expect(fstatat(top, p.text, &st, AT_SYMLINK_NOFOLLOW), "stat", p.text);
        break;
    case 1:
        n = readlinkat(top, p.text, target, sizeof(target));
        expect((int)n, "readlink", p.text);
        if (n >= 0 && (n != 10 || memcmp(target, "to-nowhere", 10) != 0))
            wrong("%s leads to %.*s", p.text, (int)n, target);
        break;
    default:
        fd = openat(top, p.text, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
        expect(fd, "open", p.text);
        if (fd >= 0 && fstat(fd, &st) < 0)
            wrong("fstat of %s", p.text);
        if (fd >= 0 && S_ISREG(st.st_mode))
            check_content(fd, p.text);
        if (fd >= 0)
            close(fd);
    }
}

static void look_at_kept(struct worker *w)
{
    struct path p;
    struct stat a;
    int fd;

    switch (below(w, 4)) {
    case 0:
        p = in_dir(w, "cur");
        fd = openat(top, p.text, O_RDONLY);
        if (fd < 0)
            wrong("open of %s, which is only ever replaced", p.text);
        check_content(fd, p.text);
        close(fd);
        break;
    case 1:
        p = in_dir(w, below(w, 2) ? "x" : "y");
        if (fstatat(top, p.text, &a, 0) < 0 || (a.st_mode & 077) != 055)
            wrong("stat of %s, which is only ever exchanged", p.text);
        break;
    case 2:
        p = in_dir(w, "keep-0");
        if (fstatat(top, p.text, &a, 0) < 0 || a.st_nlink != 1)
            wrong("stat of %s", p.text);
        break;
    default:
        p = in_dir(w, ".");
        fd = openat(top, p.text, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
            wrong("open of %s", p.text);
        check_listing(fd);
        close(fd);
    }
}

static void *work(void *arg)
{
    static void (*const steps[])(struct worker *) = {
        make, make, change, change, change_below, shuffle, look_at_name, look_at_kept};
    struct worker *w = arg;
    uint64_t n = 0;

    while (!atomic_load_explicit(&rest, memory_order_relaxed)) {
        steps[below(w, sizeof(steps) / sizeof(steps[0]))](w);
        n++;
    }
    if (w->dir >= 0)
        close(w->dir);
    w->dir = -1;
    atomic_fetch_add(&operations, n);
    return NULL;
}

/* ---- at rest: the whole tree ---- */

struct seen {
    uint64_t ino, links, names;
};

static struct {
    struct seen file[8192];
    unsigned files, tokens, depth;
} tree;

static void count_name(const struct stat *st, const char *name)
{
    unsigned i;

    tree.tokens += strncmp(name, "token-", 6) == 0;
    for (i = 0; i < tree.files && tree.file[i].ino != st->st_ino; i++)
        ;
    if (i == sizeof(tree.file) / sizeof(tree.file[0]))
        wrong("too many files");
    if (i == tree.files)
        tree.file[tree.files++] = (struct seen){st->st_ino, st->st_nlink, 0};
    if (tree.file[i].links != st->st_nlink)
        wrong("%s has %lu links under one name, %lu under another", name,
              (unsigned long)st->st_nlink, (unsigned long)tree.file[i].links);
    tree.file[i].names++;
}

static void walk(int fd, uint64_t self, uint64_t parent, unsigned depth);

static void check_entry(int fd, uint64_t self, const struct entry *e, unsigned depth,
                        unsigned *subdirs)
{
    struct stat st;
    int sub;

    if (fstatat(fd, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        wrong("%s is listed and cannot be found", e->name);
    if (st.st_ino != e->ino || IFTODT(st.st_mode) != e->type)
        wrong("%s is listed as %llu of type %u and is %llu, mode %o", e->name,
              (unsigned long long)e->ino, e->type, (unsigned long long)st.st_ino,
              st.st_mode);
    if (!S_ISDIR(st.st_mode)) {
        count_name(&st, e->name);
        return;
    }
    *subdirs += 1;
    sub = openat(fd, e->name, O_RDONLY | O_DIRECTORY);
    if (sub < 0)
        wrong("open of %s", e->name);
    walk(sub, st.st_ino, self, depth + 1);
    close(sub);
}

static void walk(int fd, uint64_t self, uint64_t parent, unsigned depth)
{
    struct entry e[LIST_MAX];
    unsigned subdirs = 0;
    struct stat st;
    int n = list(fd, e), i;

    if (n < 2)
        wrong("%d names in a directory", n);
    if (depth > tree.depth)
        tree.depth = depth;
    if (depth && (listed(e, n, ".")->ino != self || listed(e, n, "..")->ino != parent))
        wrong(". and .. of a directory are listed wrongly");
    for (i = 0; i < n; i++) {
        listed(e, n, e[i].name);
        if (strcmp(e[i].name, ".") != 0 && strcmp(e[i].name, "..") != 0)
            check_entry(fd, self, &e[i], depth, &subdirs);
    }
    if (fstat(fd, &st) < 0 || st.st_nlink != 2 + subdirs)
        wrong("a directory with %u subdirectories has %lu links", subdirs,
              (unsigned long)st.st_nlink);
}

static void check_tree(void)
{
    struct stat st;
    int fd = openat(top, ".", O_RDONLY | O_DIRECTORY);

    tree.files = tree.tokens = tree.depth = 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        wrong("open of the directory");
    walk(fd, st.st_ino, 0, 0);
    close(fd);
    for (unsigned i = 0; i < tree.files; i++) {
        if (tree.file[i].names != tree.file[i].links)
            wrong("%llu has %llu links and %llu names",
                  (unsigned long long)tree.file[i].ino,
                  (unsigned long long)tree.file[i].links,
                  (unsigned long long)tree.file[i].names);
    }
    if (tree.tokens != TOKENS)
        wrong("%u of %d files that only moved are left", tree.tokens, TOKENS);
}

/* ---- the whole ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    return remove(path);
}

/* Directories that are moved into others make the tree deeper and deeper. */
static void cut_tree(void)
{
    char path[64];

    for (int i = 0; i < DIRS * 5; i++) {
        snprintf(path, sizeof(path), "d%d/%c", i / 5, 'a' + i % 5);
        if (faccessat(top, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
            nftw(path, remove_one, 100, FTW_DEPTH | FTW_PHYS) != 0)
            wrong("removing %s", path);
    }
}

static void prepare(void)
{
    char path[64];
    int d, i, rc = 0;

    umask(022);
    for (d = 0; d < DIRS; d++) {
        snprintf(path, sizeof(path), "d%d", d);
        rc |= mkdirat(top, path, 0755);
        for (i = 0; i < KEPT; i++) {
            snprintf(path, sizeof(path), "d%d/keep-%d", d, i);
            rc |= make_file(path);
        }
        snprintf(path, sizeof(path), "d%d/cur", d);
        rc |= make_file(path);
        /* One a directory, the other a file that may be run by all. */
        snprintf(path, sizeof(path), "d%d/x", d);
        rc |= mkdirat(top, path, 0755);
        snprintf(path, sizeof(path), "d%d/y", d);
        rc |= make_file(path) | fchmodat(top, path, 0755, 0);
    }
    for (i = 0; i < TOKENS; i++) {
        snprintf(path, sizeof(path), "d%d/token-%d", i % DIRS, i);
        rc |= make_file(path);
    }
    if (rc)
        wrong("making the first files");
}

int main(int argc, char **argv)
{
    static struct worker w[THREADS];
    uint64_t seed;
    int rounds, i;

    if (argc != 4 || chdir(argv[1]) < 0 ||
        (top = open(".", O_RDONLY | O_DIRECTORY)) < 0) {
        fprintf(stderr, "tool_names DIR SECONDS SEED\n");
        return 2;
    }
    seed = strtoull(argv[3], NULL, 0);
    for (i = 0; i < THREADS; i++)
        w[i] = (struct worker){.rnd = (seed + 1) * 2654435761u + (uint64_t)i, .dir = -1};
    prepare();
    for (rounds = atoi(argv[2]) * 1000 / REST_MS; rounds > 0; rounds--) {
        atomic_store(&rest, false);
        for (i = 0; i < THREADS; i++) {
            if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0)
                wrong("pthread_create");
        }
        nanosleep(&(struct timespec){.tv_nsec = REST_MS * 1000000l}, NULL);
        atomic_store(&rest, true);
        for (i = 0; i < THREADS; i++)
            pthread_join(w[i].thread, NULL);
        check_tree();
        if (tree.depth > DEEP)
            cut_tree();
    }
    printf("%llu\n", (unsigned long long)atomic_load(&operations));
    return 0;
}
