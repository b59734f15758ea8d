/*
 * tool_features.c - tool_features DIR [SECONDS]: try what a filesystem can do, in the
 * directory DIR, and print a line for each feature: its name, a tab, and "yes", "no" or
 * a figure. Links of a file are counted for so many seconds at most.
 *
 * The columns of the table in README.md were made with it: any filesystem will do.
 * Needs root for some (devices, trusted attributes). Leaves nothing behind in DIR.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * 1024, LINKS = 70000 };

static int links_s = 15;

static const char *yes(int ok)
{
    return ok ? "yes" : "no";
}

/* ---- small helpers; each probe has an empty working directory ---- */

static int make(const char *name, size_t size)
{
    int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0644);
    char *data = calloc(1, size + 1);

    memset(data, 'x', size);
    if (fd < 0 || pwrite(fd, data, size, 0) != (ssize_t)size) {
        perror(name);
        exit(2);
    }
    free(data);
    return fd;
}

static struct stat stat_of(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        memset(&st, 0, sizeof(st));
    return st;
}

static int all_are(int fd, off_t off, size_t len, char want)
{
    char *data = malloc(len);
    int same = pread(fd, data, len, off) == (ssize_t)len;
    size_t i;

    for (i = 0; i < len && same; i++)
        same = data[i] == want;
    free(data);
    return same;
}

/* ---- names and inodes ---- */

static const char *hard_links(void)
{
    struct stat st;

    close(make("a", 1));
    return yes(link("a", "b") == 0 && stat("b", &st) == 0 && st.st_nlink == 2);
}

static const char *links_most(void)
{
    static char text[32];
    time_t until = time(NULL) + links_s;
    char name[32];
    int n, full = 0;

    close(make("a", 1));
    for (n = 1; n < LINKS && time(NULL) < until; n++) {
        snprintf(name, sizeof(name), "l%d", n);
        full = link("a", name) < 0;
        if (full)
            break;
    }
    snprintf(text, sizeof(text), full ? "%d" : "over %d", n);
    return text;
}

static const char *symlink_most(void)
{
    static const int lengths[] = {4095, 4000, 3000, 2000, 1000, 255};
    static char text[32], target[4096];

    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        memset(target, 't', sizeof(target));
        target[lengths[i]] = 0;
        if (symlink(target, "s") == 0) {
            snprintf(text, sizeof(text), i ? "%d or more" : "%d", lengths[i]);
            return text;
        }
    }
    return "no";
}

static const char *name_most(void)
{
    static char text[32], name[300];
    int n = 0;

    memset(name, 'n', sizeof(name));
    for (n = 255; n > 0; n--) {
        name[n] = 0;
        if (mkdir(name, 0755) == 0)
            break;
    }
    snprintf(text, sizeof(text), "%d", n);
    return text;
}

static const char *special_files(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int s = socket(AF_UNIX, SOCK_STREAM, 0), ok;
    struct stat st;

    ok = mkfifo("fifo", 0644) == 0 && bind(s, (struct sockaddr *)&a, sizeof(a)) == 0 &&
         mknod("dev", S_IFCHR | 0600, makedev(1, 3)) == 0 && stat("dev", &st) == 0 &&
         st.st_rdev == makedev(1, 3);
    close(s);
    return yes(ok);
}

static int rename_flags(unsigned flags)
{
    close(make("a", 1));
    close(make("b", 2));
    return renameat2(AT_FDCWD, "a", AT_FDCWD, "b", flags);
}

static const char *rename_noreplace(void)
{
    struct stat st;

    return yes(rename_flags(RENAME_NOREPLACE) < 0 && errno == EEXIST &&
               renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE) == 0 &&
               stat("c", &st) == 0);
}

static const char *rename_exchange(void)
{
    struct stat st;

    return yes(rename_flags(RENAME_EXCHANGE) == 0 && stat("a", &st) == 0 &&
               st.st_size == 2);
}

static const char *rename_whiteout(void)
{
    struct stat st;

    return yes(rename_flags(RENAME_WHITEOUT) == 0 && lstat("a", &st) == 0 &&
               S_ISCHR(st.st_mode));
}

static const char *directory_nlink(void)
{
    struct stat st;

    mkdir("d", 0755);
    mkdir("d/e", 0755);
    mkdir("d/f", 0755);
    return yes(stat("d", &st) == 0 && st.st_nlink == 4);
}

static const char *unlinked_open(void)
{
    int fd = make("a", 100), ok;

    unlink("a");
    ok = pwrite(fd, "more", 4, 100) == 4 && all_are(fd, 0, 100, 'x') &&
         stat_of(fd).st_nlink == 0 && fchmod(fd, 0600) == 0;
    close(fd);
    return yes(ok);
}

static const char *o_tmpfile(void)
{
    int fd = open(".", O_TMPFILE | O_RDWR, 0600), ok;
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ok = fd >= 0 && linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0;
    close(fd);
    return yes(ok);
}

static const char *d_type(void)
{
    DIR *d;
    struct dirent *e;
    int ok = 1;

    close(make("a", 1));
    mkdir("b", 0755);
    d = opendir(".");
    while ((e = readdir(d)))
        ok &= e->d_type == (strcmp(e->d_name, "a") == 0 ? DT_REG : DT_DIR);
    closedir(d);
    return yes(ok);
}

static const char *sgid_inherited(void)
{
    struct stat st;

    mkdir("d", 0755);
    if (chown("d", 0, 12345) < 0 || chmod("d", 02775) < 0 || mkdir("d/e", 0755) < 0)
        return "no";
    return yes(stat("d/e", &st) == 0 && (st.st_mode & S_ISGID) && st.st_gid == 12345);
}

static const char *inode_flags(void)
{
    int fd = make("a", 1), flags = 0, ok;

    ok = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;
    flags |= FS_IMMUTABLE_FL;
    ok = ok && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0 && open("a", O_WRONLY) < 0;
    flags &= ~FS_IMMUTABLE_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
    close(fd);
    return yes(ok);
}

static const char *file_handles(void)
{
    char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    struct file_handle *h = (struct file_handle *)space;
    int id, fd, ok;

    close(make("a", 1));
    h->handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, "a", h, &id, 0) < 0)
        return "no";
    fd = open(".", O_RDONLY | O_DIRECTORY);
    id = open_by_handle_at(fd, h, O_RDONLY);
    ok = id >= 0;
    close(id);
    close(fd);
    return yes(ok);
}

/* ---- times ---- */

static int keeps_time(int64_t sec, long nsec)
{
    struct timespec t[2] = {{.tv_sec = sec, .tv_nsec = nsec}, {sec, nsec}};
    struct stat st;
    int fd = make("a", 1);

    close(fd);
    return utimensat(AT_FDCWD, "a", t, 0) == 0 && stat("a", &st) == 0 &&
           st.st_mtim.tv_sec == sec && st.st_mtim.tv_nsec == nsec;
}

static const char *nanoseconds(void)
{
    return yes(keeps_time(1234567890, 123456789));
}

static const char *years(void)
{
    static char text[64];

    snprintf(text, sizeof(text), "%s to %s",
             keeps_time(-(int64_t)60 * 365 * 86400, 0) ? "before 1910" : "1970",
             keeps_time(15100000000, 0)  ? "after 2448"
             : keeps_time(4300000000, 0) ? "2446"
             : keeps_time(2200000000, 0) ? "2106"
                                         : "2038");
    return text;
}

static const char *birth_time(void)
{
    struct statx x;
    int ok;

    close(make("a", 1));
    ok = statx(AT_FDCWD, "a", 0, STATX_BTIME, &x) == 0 && (x.stx_mask & STATX_BTIME);
    return yes(ok);
}

/* ---- attributes ---- */

static int keeps_xattr(const char *name, size_t size)
{
    char *value = malloc(size + 1), *got = malloc(size + 1);
    int ok;

    memset(value, 'v', size);
    close(make("a", 1));
    ok = setxattr("a", name, value, size, 0) == 0 &&
         getxattr("a", name, got, size + 1) == (ssize_t)size &&
         memcmp(got, value, size) == 0;
    free(value);
    free(got);
    return ok;
}

static const char *xattr_spaces(void)
{
    static char text[64];

    snprintf(text, sizeof(text), "%s%s%s", keeps_xattr("user.x", 10) ? "user " : "",
             keeps_xattr("trusted.x", 10) ? "trusted " : "",
             keeps_xattr("security.x", 10) ? "security" : "");
    return *text ? text : "no";
}

static const char *xattr_most(void)
{
    static const int kib[] = {64, 32, 16, 8, 4, 3, 2, 1};
    static char text[32];

    for (unsigned i = 0; i < sizeof(kib) / sizeof(kib[0]); i++) {
        if (keeps_xattr("user.x", (size_t)kib[i] * KIB)) {
            snprintf(text, sizeof(text), "%d KiB", kib[i]);
            return text;
        }
    }
    return yes(keeps_xattr("user.x", 100));
}

/* Owner rwx, user 12345 rwx, group r-x, mask rwx, others nothing. */
static const unsigned char acl[] = {
    2,    0, 0, 0,                     /* version */
    1,    0, 7, 0, 255, 255, 255, 255, /* owner */
    2,    0, 7, 0, 57,  48,  0,   0,   /* user 12345 */
    4,    0, 5, 0, 255, 255, 255, 255, /* group */
    0x10, 0, 7, 0, 255, 255, 255, 255, /* mask */
    0x20, 0, 0, 0, 255, 255, 255, 255, /* others */
};

static const char *acl_access(void)
{
    struct stat st;

    close(make("a", 1));
    return yes(setxattr("a", "system.posix_acl_access", acl, sizeof(acl), 0) == 0 &&
               stat("a", &st) == 0 && (st.st_mode & 0777) == 0770);
}

static const char *acl_default(void)
{
    char got[256];

    mkdir("d", 0755);
    if (setxattr("d", "system.posix_acl_default", acl, sizeof(acl), 0) < 0)
        return "no";
    close(make("d/a", 1));
    return yes(getxattr("d/a", "system.posix_acl_access", got, sizeof(got)) ==
               (ssize_t)sizeof(acl));
}

/* ---- ranges ---- */

static const char *falloc(int mode)
{
    static char text[64];
    int fd = make("a", MIB), rc = fallocate(fd, mode, 256 * KIB, 256 * KIB);

    snprintf(text, sizeof(text), "%s", yes(rc == 0));
    close(fd);
    return text;
}

static const char *falloc_plain(void)
{
    int fd = make("a", 0), ok;

    ok = fallocate(fd, 0, 0, MIB) == 0 && stat_of(fd).st_size == MIB &&
         stat_of(fd).st_blocks >= MIB / 512;
    close(fd);
    return yes(ok);
}

static const char *falloc_keep(void)
{
    return falloc(FALLOC_FL_KEEP_SIZE);
}

static const char *falloc_punch(void)
{
    return falloc(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static const char *falloc_zero(void)
{
    return falloc(FALLOC_FL_ZERO_RANGE);
}

static const char *falloc_collapse(void)
{
    return falloc(FALLOC_FL_COLLAPSE_RANGE);
}

static const char *falloc_insert(void)
{
    return falloc(FALLOC_FL_INSERT_RANGE);
}

static const char *sparse(void)
{
    int fd = make("a", 1), ok;

    ok = pwrite(fd, "z", 1, 100 * MIB) == 1 && stat_of(fd).st_blocks < 2 * KIB;
    close(fd);
    return yes(ok);
}

static const char *seek_hole(void)
{
    int fd = make("a", 64 * KIB), ok;

    ok = pwrite(fd, "z", 1, 10 * MIB) == 1 && lseek(fd, 0, SEEK_HOLE) < MIB &&
         lseek(fd, MIB, SEEK_DATA) > 9 * MIB;
    close(fd);
    return yes(ok);
}

static const char *size_most(void)
{
    static const struct {
        off_t size;
        const char *text;
    } sizes[] = {{INT64_MAX, "8 EiB - 1"},
                 {INT64_MAX / 2 + 1, "4 EiB"},
                 {(off_t)1 << 50, "1 PiB"},
                 {((off_t)1 << 44) - 4096, "16 TiB"},
                 {(off_t)1 << 41, "2 TiB"}};
    int fd = make("a", 1);
    unsigned i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (pwrite(fd, "e", 1, sizes[i].size - 1) == 1 &&
            stat_of(fd).st_size == sizes[i].size)
            break;
    }
    close(fd);
    return i < sizeof(sizes) / sizeof(sizes[0]) ? sizes[i].text : "no";
}

static const char *copy_range(void)
{
    int from = make("a", MIB), to = make("b", 0), ok;
    loff_t a = 0, b = 0;

    ok = copy_file_range(from, &a, to, &b, MIB, 0) == MIB && all_are(to, 0, MIB, 'x');
    close(from);
    close(to);
    return yes(ok);
}

/* Does the copy take room? Told by statfs. */
static const char *copy_shares(void)
{
    enum { SIZE = 64 * MIB };
    int from = make("a", SIZE), to = make("b", 0);
    struct statfs before, after;
    loff_t a = 0, b = 0;
    ssize_t n = 1;
    uint64_t took;

    fsync(from);
    fstatfs(from, &before);
    while (b < SIZE && n > 0)
        n = copy_file_range(from, &a, to, &b, (size_t)(SIZE - b), 0);
    fsync(to);
    fstatfs(from, &after);
    took = before.f_bfree > after.f_bfree
               ? (before.f_bfree - after.f_bfree) * (uint64_t)before.f_bsize
               : 0;
    close(from);
    close(to);
    return yes(b == SIZE && took < SIZE / 4);
}

static const char *reflink(void)
{
    int from = make("a", MIB), to = make("b", 0);
    int ok = ioctl(to, FICLONE, from) == 0;

    close(from);
    close(to);
    return yes(ok);
}

/* ---- ways to read, write, lock ---- */

static const char *direct(void)
{
    int fd = open("a", O_CREAT | O_RDWR | O_DIRECT, 0644), ok;
    void *p = NULL;

    if (posix_memalign(&p, 4096, 4096))
        return "no";
    memset(p, 'd', 4096);
    ok = fd >= 0 && pwrite(fd, p, 4096, 0) == 4096 && pread(fd, p, 4096, 0) == 4096;
    close(fd);
    free(p);
    return yes(ok);
}

static const char *mmap_shared(void)
{
    int fd = make("a", 8 * KIB), ok;
    char *m = mmap(NULL, 8 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    ok = m != MAP_FAILED;
    if (ok) {
        memset(m + 4 * KIB, 'm', KIB);
        ok = msync(m, 8 * KIB, MS_SYNC) == 0 && all_are(fd, 4 * KIB, KIB, 'm');
        munmap(m, 8 * KIB);
    }
    close(fd);
    return yes(ok);
}

static const char *locks(void)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int a = make("a", 1), b = open("a", O_RDWR), ok;

    ok = flock(a, LOCK_EX) == 0 && flock(b, LOCK_EX | LOCK_NB) < 0 &&
         fcntl(a, F_SETLK, &l) == 0 && flock(a, LOCK_UN) == 0 &&
         fcntl(a, F_OFD_SETLK, &l) < 0; /* another owner has it */
    close(a);
    close(b);
    return yes(ok);
}

static const char *suid_cleared(void)
{
    pid_t child;
    struct stat st;
    int fd = make("a", 1);

    fchmod(fd, 04777);
    chmod(".", 0777);
    close(fd);
    child = fork();
    if (child == 0) {
        if (setgid(12345) || setuid(12345))
            _exit(1);
        fd = open("a", O_WRONLY);
        _exit(fd < 0 || pwrite(fd, "z", 1, 0) != 1);
    }
    waitpid(child, NULL, 0);
    return yes(stat("a", &st) == 0 && !(st.st_mode & S_ISUID));
}

/* ---- statfs ---- */

static const char *statfs_right(void)
{
    struct statfs before, after;
    int fd = make("a", 0);
    char *data = malloc(16 * MIB);
    uint64_t took, seed = 88172645463325252ull;
    size_t i;

    fstatfs(fd, &before);
    for (i = 0; i + 8 <= 16 * MIB; i += 8) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        memcpy(data + i, &seed, 8);
    }
    i = pwrite(fd, data, 16 * MIB, 0) == 16 * MIB && fsync(fd) == 0;
    fstatfs(fd, &after);
    took = before.f_bfree > after.f_bfree
               ? (before.f_bfree - after.f_bfree) * (uint64_t)before.f_bsize
               : 0;
    free(data);
    close(fd);
    return yes(i && before.f_namelen >= 143 && before.f_files > before.f_ffree &&
               took > 12 * MIB && took < 48 * MIB);
}

/* ---- the table ---- */

static const struct feature {
    const char *name;
    const char *(*probe)(void);
} features[] = {
    {"hard links", hard_links},
    {"links of a file", links_most},
    {"symbolic links, bytes", symlink_most},
    {"names, bytes", name_most},
    {"FIFOs, sockets, devices", special_files},
    {"unlinked files live on", unlinked_open},
    {"O_TMPFILE", o_tmpfile},
    {"rename NOREPLACE", rename_noreplace},
    {"rename EXCHANGE", rename_exchange},
    {"rename WHITEOUT", rename_whiteout},
    {"nlink counts subdirectories", directory_nlink},
    {"d_type", d_type},
    {"sgid directories", sgid_inherited},
    {"suid goes on write", suid_cleared},
    {"inode flags (chattr)", inode_flags},
    {"file handles", file_handles},
    {"nanosecond times", nanoseconds},
    {"years", years},
    {"birth time", birth_time},
    {"attribute namespaces", xattr_spaces},
    {"attribute value", xattr_most},
    {"ACL", acl_access},
    {"default ACL", acl_default},
    {"fallocate", falloc_plain},
    {"fallocate KEEP_SIZE", falloc_keep},
    {"PUNCH_HOLE", falloc_punch},
    {"ZERO_RANGE", falloc_zero},
    {"COLLAPSE_RANGE", falloc_collapse},
    {"INSERT_RANGE", falloc_insert},
    {"sparse files", sparse},
    {"SEEK_HOLE, SEEK_DATA", seek_hole},
    {"largest file", size_most},
    {"copy_file_range", copy_range},
    {"... takes no room", copy_shares},
    {"FICLONE (reflink)", reflink},
    {"O_DIRECT", direct},
    {"shared mmap", mmap_shared},
    {"flock, fcntl, OFD locks", locks},
    {"statfs follows", statfs_right},
};

static int empty(const char *dir)
{
    char command[4200];

    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

int main(int argc, char **argv)
{
    static char dir[4096];
    unsigned i;

    if (argc == 3)
        links_s = atoi(argv[2]);
    if (argc < 2 || argc > 3 || !realpath(argv[1], dir) || strchr(dir, '\'') ||
        strlen(dir) > sizeof(dir) - 32)
        return fprintf(stderr, "usage: tool_features DIR [SECONDS]\n"), 2;
    strcat(dir, "/tool_features");
    umask(022);
    for (i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        if (mkdir(dir, 0755) < 0 || chdir(dir) < 0) {
            perror(dir);
            return 2;
        }
        printf("%s\t%s\n", features[i].name, features[i].probe());
        fflush(stdout);
        if (chdir("/") < 0 || empty(dir))
            return 2;
    }
    return 0;
}
