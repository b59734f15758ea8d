/*
 * ceiling_fs.c - fs/fs.h in memory, for ceiling.c: a table of nodes by number, a hash
 * table of names, contents in arrays, one lock.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "fs/fs.h"

struct entry {
    struct entry *next; /* of its hash chain */
    uint64_t parent, ino;
    uint64_t cookie;
    char name[];
};

struct node {
    struct stat st;
    uint64_t lookups;
    uint64_t parent; /* of a directory */
    uint8_t *data;   /* a file's, or a link's target */
    size_t room;     /* bytes there are at data */
    struct entry *
        *listed;       /* a directory's, in the order of their cookies; NULL: removed */
    uint64_t first, n; /* cookie of listed[0]; how many */
    uint64_t live;
};

struct fs {
    struct node **node; /* by number */
    uint64_t nodes, node_room;
    struct entry **bucket;
    uint64_t buckets, entries;
    uint64_t inodes;
};

/* ---- one at a time ---- */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;

static void leave(const int *entered)
{
    if (*entered)
        pthread_mutex_unlock(&mu);
}

/* Until the end of the function. */
#define ALONE                                                                            \
    __attribute__((cleanup(leave), unused)) const int entered =                          \
        pthread_mutex_lock(&mu) == 0

/* ---- memory ---- */

/* `old`, with room for n of size bytes each: twice as much as there was, if that does. */
static void *grow(void *old, uint64_t *room, uint64_t n, size_t size)
{
    uint64_t want = *room ? *room : 64;
    void *p;

    while (want < n)
        want *= 2;
    if (old && want == *room)
        return old;
    p = realloc(old, want * size);
    if (p)
        *room = want;
    return p;
}

static struct node *find(struct fs *fs, uint64_t ino)
{
    return ino < fs->nodes ? fs->node[ino] : NULL;
}

static struct timespec now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t;
}

static struct node *node_new(struct fs *fs, mode_t mode, uid_t uid, gid_t gid)
{
    struct node **nodes = grow(fs->node, &fs->node_room, fs->nodes + 1, sizeof(*nodes));
    struct node *n = calloc(1, sizeof(*n));

    if (nodes)
        fs->node = nodes;
    if (!nodes || !n) {
        free(n);
        return NULL;
    }
    n->st = (struct stat){.st_ino = fs->nodes,
                          .st_mode = mode,
                          .st_uid = uid,
                          .st_gid = gid,
                          .st_nlink = S_ISDIR(mode) ? 2 : 1,
                          .st_blksize = FS_BLOCK};
    n->st.st_atim = n->st.st_mtim = n->st.st_ctim = now();
    n->first = 3; /* cookies 1 and 2 are "." and ".." */
    fs->node[fs->nodes++] = n;
    fs->inodes++;
    return n;
}

static void node_drop_if_gone(struct fs *fs, struct node *n)
{
    if (n->st.st_nlink || n->lookups)
        return;
    fs->node[n->st.st_ino] = NULL;
    fs->inodes--;
    free(n->data);
    free(n->listed);
    free(n);
}

/* ---- names ---- */

static uint64_t hash(uint64_t parent, const char *name)
{
    return XXH3_64bits_withSeed(name, strlen(name), parent);
}

static struct entry **place(struct fs *fs, uint64_t parent, const char *name)
{
    struct entry **at = &fs->bucket[hash(parent, name) & (fs->buckets - 1)];

    while (*at && ((*at)->parent != parent || strcmp((*at)->name, name) != 0))
        at = &(*at)->next;
    return at;
}

static int more_buckets(struct fs *fs)
{
    uint64_t n = fs->buckets * 2, i;
    struct entry **bucket = calloc(n, sizeof(*bucket)), *e, *next;

    if (!bucket)
        return -ENOMEM;
    for (i = 0; i < fs->buckets; i++) {
        for (e = fs->bucket[i]; e; e = next) {
            struct entry **at = &bucket[hash(e->parent, e->name) & (n - 1)];

            next = e->next;
            e->next = *at;
            *at = e;
        }
    }
    free(fs->bucket);
    fs->bucket = bucket;
    fs->buckets = n;
    return 0;
}

/* Nobody has that name yet. */
static int entry_add(struct fs *fs, struct node *dir, const char *name, struct node *n)
{
    uint64_t room = dir->room;
    struct entry **listed = grow(dir->listed, &room, dir->n + 1, sizeof(*listed)), **at;
    struct entry *e = malloc(sizeof(*e) + strlen(name) + 1);

    if (listed) {
        dir->listed = listed;
        dir->room = room;
    }
    if (!e || !listed || (fs->entries == fs->buckets && more_buckets(fs) < 0)) {
        free(e);
        return -ENOMEM;
    }
    *e = (struct entry){.parent = dir->st.st_ino, .ino = n->st.st_ino};
    strcpy(e->name, name);
    e->cookie = dir->first + dir->n;
    at = place(fs, e->parent, name);
    *at = e;
    fs->entries++;
    dir->listed[dir->n++] = e;
    dir->live++;
    if (S_ISDIR(n->st.st_mode)) {
        dir->st.st_nlink++;
        n->parent = e->parent;
    }
    dir->st.st_mtim = dir->st.st_ctim = now();
    return 0;
}

static void entry_remove(struct fs *fs, struct node *dir, struct entry **at,
                         const struct node *n)
{
    struct entry *e = *at;

    *at = e->next;
    fs->entries--;
    dir->listed[e->cookie - dir->first] = NULL;
    if (--dir->live == 0) {
        dir->first += dir->n;
        dir->n = 0;
    }
    if (S_ISDIR(n->st.st_mode))
        dir->st.st_nlink--;
    dir->st.st_mtim = dir->st.st_ctim = now();
    free(e);
}

static int answer(struct node *n, struct fs_attr *out)
{
    n->lookups++;
    *out = (struct fs_attr){.st = n->st, .btime = n->st.st_ctim};
    return 0;
}

/* The directory, when there is no such name in it. */
static int free_name(struct fs *fs, uint64_t parent, const char *name, struct node **dir)
{
    *dir = find(fs, parent);
    if (!*dir)
        return -ENOENT;
    if (strlen(name) > FS_NAME_MAX)
        return -ENAMETOOLONG;
    return *place(fs, parent, name) ? -EEXIST : 0;
}

static int make(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
                mode_t mode, struct node **out)
{
    struct node *dir, *n;
    int err = free_name(fs, parent, name, &dir);

    if (err)
        return err;
    n = node_new(fs, S_ISLNK(mode) ? mode : mode & ~c->umask, c->uid, c->gid);
    if (!n)
        return -ENOMEM;
    err = entry_add(fs, dir, name, n);
    if (err) {
        n->st.st_nlink = 0;
        node_drop_if_gone(fs, n);
        return err;
    }
    *out = n;
    return 0;
}

/* ---- fs/fs.h: names ---- */

int fs_lookup(struct fs *fs, uint64_t parent, const char *name, struct fs_attr *out)
{
    ALONE;
    struct node *dir = find(fs, parent);
    struct entry *e;

    if (!dir)
        return -ENOENT;
    if (strcmp(name, ".") == 0)
        return answer(dir, out);
    if (strcmp(name, "..") == 0)
        return answer(find(fs, dir->parent), out);
    if (strlen(name) > FS_NAME_MAX)
        return -ENAMETOOLONG;
    e = *place(fs, parent, name);
    return e ? answer(find(fs, e->ino), out) : -ENOENT;
}

void fs_forget(struct fs *fs, uint64_t ino, uint64_t lookups)
{
    ALONE;
    struct node *n = find(fs, ino);

    if (!n || n->lookups < lookups)
        return;
    n->lookups -= lookups;
    node_drop_if_gone(fs, n);
}

int fs_mknod(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
             mode_t mode, dev_t rdev, struct fs_attr *out)
{
    ALONE;
    struct node *n;
    int err = make(fs, c, parent, name, mode, &n);

    if (err)
        return err;
    n->st.st_rdev = rdev;
    return answer(n, out);
}

int fs_mkdir(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
             mode_t mode, struct fs_attr *out)
{
    ALONE;
    struct node *n;
    int err = make(fs, c, parent, name, S_IFDIR | (mode & 07777), &n);

    return err ? err : answer(n, out);
}

int fs_symlink(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
               const char *target, struct fs_attr *out)
{
    ALONE;
    uint8_t *copy = (uint8_t *)strdup(target);
    struct node *n;
    int err = copy ? make(fs, c, parent, name, S_IFLNK | 0777, &n) : -ENOMEM;

    if (err) {
        free(copy);
        return err;
    }
    n->data = copy;
    n->st.st_size = (off_t)strlen(target);
    return answer(n, out);
}

int fs_link(struct fs *fs, uint64_t ino, uint64_t parent, const char *name,
            struct fs_attr *out)
{
    ALONE;
    struct node *n = find(fs, ino), *dir;
    int err = n ? free_name(fs, parent, name, &dir) : -ENOENT;

    if (!err)
        err = entry_add(fs, dir, name, n);
    if (err)
        return err;
    n->st.st_nlink++;
    n->st.st_ctim = now();
    return answer(n, out);
}

static int remove_name(struct fs *fs, uint64_t parent, const char *name, bool directory)
{
    struct node *dir = find(fs, parent), *n;
    struct entry **at;

    if (!dir)
        return -ENOENT;
    at = place(fs, parent, name);
    if (!*at)
        return -ENOENT;
    n = find(fs, (*at)->ino);
    if (directory != S_ISDIR(n->st.st_mode))
        return directory ? -ENOTDIR : -EISDIR;
    if (directory && n->live)
        return -ENOTEMPTY;
    entry_remove(fs, dir, at, n);
    n->st.st_nlink -= directory ? 2 : 1;
    n->st.st_ctim = now();
    node_drop_if_gone(fs, n);
    return 0;
}

int fs_unlink(struct fs *fs, uint64_t parent, const char *name)
{
    ALONE;
    return remove_name(fs, parent, name, false);
}

int fs_rmdir(struct fs *fs, uint64_t parent, const char *name)
{
    ALONE;
    return remove_name(fs, parent, name, true);
}

/* Without flags, and over nothing or what may be removed. */
int fs_rename(struct fs *fs, const struct fs_cred *c, uint64_t parent, const char *name,
              uint64_t new_parent, const char *new_name, unsigned flags)
{
    ALONE;
    struct node *dir = find(fs, parent), *to = find(fs, new_parent), *n, *old;
    struct entry **at, **over;
    int err;

    if (flags)
        return -EINVAL;
    if (!dir || !to || !*(at = place(fs, parent, name)))
        return -ENOENT;
    n = find(fs, (*at)->ino);
    over = place(fs, new_parent, new_name);
    if (*over) {
        old = find(fs, (*over)->ino);
        if (old == n)
            return 0;
        err = remove_name(fs, new_parent, new_name, S_ISDIR(n->st.st_mode));
        if (err)
            return err;
    }
    err = entry_add(fs, to, new_name, n);
    if (err)
        return err;
    entry_remove(fs, dir, place(fs, parent, name), n);
    n->st.st_ctim = now();
    return 0;
}

int fs_readlink(struct fs *fs, uint64_t ino, char *to)
{
    ALONE;
    struct node *n = find(fs, ino);

    if (!n || !S_ISLNK(n->st.st_mode))
        return -EINVAL;
    strcpy(to, (char *)n->data);
    return 0;
}

int fs_readdir(struct fs *fs, uint64_t ino, uint64_t cookie, bool plus, fs_dirent_fn *fn,
               void *arg)
{
    ALONE;
    static const char *const dots[] = {".", ".."};
    struct node *dir = find(fs, ino), *n;
    uint64_t i = cookie < dir->first ? 0 : cookie - dir->first + 1;
    struct fs_attr attr;
    enum fs_taken took;

    for (; cookie < 2; cookie++) {
        attr = (struct fs_attr){.st = find(fs, cookie ? dir->parent : ino)->st};
        if (fn(arg, dots[cookie], &attr, cookie + 1) == FS_FULL)
            return 0;
    }
    for (; i < dir->n; i++) {
        if (!dir->listed[i])
            continue;
        n = find(fs, dir->listed[i]->ino);
        attr = (struct fs_attr){.st = n->st};
        took = fn(arg, dir->listed[i]->name, &attr, dir->listed[i]->cookie);
        if (took == FS_FULL)
            return 0;
        n->lookups += took == FS_TAKEN_LOOKUP;
    }
    return 0;
}

/* ---- attributes and contents ---- */

static int resize(struct node *n, uint64_t size)
{
    uint64_t old = (uint64_t)n->st.st_size, room = n->room;
    uint8_t *data = size ? grow(n->data, &room, size, 1) : n->data;

    if (size && !data)
        return -ENOMEM;
    n->data = data;
    n->room = room;
    if (size > old)
        memset(data + old, 0, size - old);
    n->st.st_size = (off_t)size;
    n->st.st_blocks = (blkcnt_t)(size + 511) / 512;
    return 0;
}

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *out)
{
    ALONE;
    struct node *n = find(fs, ino);

    if (!n)
        return -ENOENT;
    *out = (struct fs_attr){.st = n->st};
    return 0;
}

int fs_setattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, unsigned set,
               const struct stat *st, struct fs_attr *out)
{
    ALONE;
    struct node *n = find(fs, ino);
    int err = 0;

    if (!n)
        return -ENOENT;
    n->st.st_ctim = now();
    if (set & FS_SET_MODE)
        n->st.st_mode = (n->st.st_mode & S_IFMT) | (st->st_mode & 07777);
    if (set & FS_SET_UID)
        n->st.st_uid = st->st_uid;
    if (set & FS_SET_GID)
        n->st.st_gid = st->st_gid;
    if (set & FS_SET_SIZE)
        err = resize(n, (uint64_t)st->st_size);
    if (set & (FS_SET_ATIME | FS_SET_ATIME_NOW))
        n->st.st_atim = set & FS_SET_ATIME ? st->st_atim : n->st.st_ctim;
    if (set & (FS_SET_MTIME | FS_SET_MTIME_NOW))
        n->st.st_mtim = set & FS_SET_MTIME ? st->st_mtim : n->st.st_ctim;
    *out = (struct fs_attr){.st = n->st};
    return err;
}

int fs_read(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to, size_t *got)
{
    ALONE;
    struct node *n = find(fs, ino);
    uint64_t size = n ? (uint64_t)n->st.st_size : 0;

    if (!n)
        return -ENOENT;
    *got = off >= size ? 0 : len < size - off ? len : size - off;
    memcpy(to, n->data + off, *got);
    return 0;
}

int fs_read_noatime(struct fs *fs, uint64_t ino, uint64_t off, size_t len, void *to,
                    size_t *got)
{
    return fs_read(fs, ino, off, len, to, got);
}

int fs_write(struct fs *fs, uint64_t ino, uint64_t off, struct slice data,
             bool clear_suid)
{
    ALONE;
    struct node *n = find(fs, ino);
    int err = 0;

    if (!n)
        return -ENOENT;
    if (off + data.len > (uint64_t)n->st.st_size)
        err = resize(n, off + data.len);
    if (err)
        return err;
    memcpy(n->data + off, data.data, data.len);
    n->st.st_mtim = n->st.st_ctim = now();
    return 0;
}

uint64_t fs_room(struct fs *fs, uint64_t ino)
{
    return UINT64_MAX;
}

int fs_fsync(struct fs *fs, uint64_t ino)
{
    return 0;
}

void fs_fsync_notify(struct fs *fs, uint64_t ino, struct lsm_sync_request *r)
{
    r->done(r, 0);
}

int fs_settle(struct fs *fs)
{
    return 0;
}

int fs_statfs(struct fs *fs, uint64_t ino, struct fs_statfs *out)
{
    *out = (struct fs_statfs){.block_bytes = FS_BLOCK,
                              .blocks = 1 << 28,
                              .blocks_free = 1 << 28,
                              .blocks_avail = 1 << 28,
                              .files = 1 << 28,
                              .files_free = 1 << 28};
    return 0;
}

/* ---- what it does not keep ---- */

int fs_quota_set(struct fs *fs, uint64_t ino, const struct fs_limits *limits)
{
    return -EOPNOTSUPP;
}

int fs_quota_clear(struct fs *fs, uint64_t ino)
{
    return -ENODATA;
}

int fs_quota_get(struct fs *fs, uint64_t ino, struct fs_quota *out)
{
    return -ENODATA;
}

int fs_du(struct fs *fs, uint64_t ino, fs_du_fn *fn, void *arg)
{
    return -EOPNOTSUPP;
}

int fs_quota_list(struct fs *fs, fs_quota_fn *fn, void *arg)
{
    return 0;
}

int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, void *to, size_t size,
                size_t *len)
{
    return -ENODATA;
}

int fs_listxattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, char *to,
                 size_t size, size_t *len)
{
    *len = 0;
    return 0;
}

int fs_setxattr(struct fs *fs, const struct fs_cred *c, uint64_t ino, const char *name,
                struct slice value, int flags)
{
    return -EOPNOTSUPP;
}

int fs_removexattr(struct fs *fs, uint64_t ino, const char *name)
{
    return -ENODATA;
}

int fs_tmpfile(struct fs *fs, const struct fs_cred *c, uint64_t parent, mode_t mode,
               struct fs_attr *out)
{
    return -EOPNOTSUPP;
}

int fs_fallocate(struct fs *fs, uint64_t ino, int mode, uint64_t off, uint64_t len)
{
    return -EOPNOTSUPP;
}

int fs_lseek(struct fs *fs, uint64_t ino, uint64_t off, int whence, uint64_t *out)
{
    return -EOPNOTSUPP;
}

int fs_copy_range(struct fs *fs, uint64_t from_ino, uint64_t from, uint64_t to_ino,
                  uint64_t to, uint64_t len, uint64_t *copied)
{
    return -EOPNOTSUPP;
}

int fs_scrub(struct lsm *db, const struct fs_scrub_options *o, uint64_t *problems)
{
    return -EOPNOTSUPP;
}

int fs_sync(struct fs *fs)
{
    return 0; /* there is no disk */
}

int fs_info(struct fs *fs, uint64_t ino, struct fs_info *out)
{
    return -EOPNOTSUPP;
}

int fs_unmount(struct fs *fs)
{
    return 0; /* the program ends */
}

void fs_get_stats(struct fs *fs, struct fs_stats *out)
{
    ALONE;
    *out = (struct fs_stats){.inodes = fs->inodes, .live_inodes = fs->inodes};
}

struct lsm *fs_store(struct fs *fs)
{
    return NULL;
}

void fs_options_init(struct fs_options *o)
{
    *o = (struct fs_options){0};
}

/* There is no store. */
int fs_mount(struct lsm *db, const struct fs_options *o, struct fs **out)
{
    struct fs *fs = calloc(1, sizeof(*fs));
    struct node *none = NULL, *root;

    if (fs) {
        fs->buckets = 1024;
        fs->bucket = calloc(fs->buckets, sizeof(*fs->bucket));
        none = fs->bucket ? node_new(fs, 0, 0, 0) : NULL; /* FS_ROOT is 1 */
    }
    root = none ? node_new(fs, S_IFDIR | 0755, getuid(), getgid()) : NULL;
    if (!root)
        return -ENOMEM; /* the program ends */
    root->parent = FS_ROOT;
    *out = fs;
    return 0;
}
