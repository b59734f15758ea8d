/*
 * tar_export.c - see tar.h: a filesystem as a tar archive.
 *
 * The tree is gone through in the order of creation, in which it lies on the disk, each
 * directory before what it holds. Of each that is open there is a position in its
 * listing, so neither width nor depth takes memory to speak of; of files with several
 * names the first is remembered until the others came.
 */
#include "tar_impl.h"

#ifdef HAVE_LIBARCHIVE

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    BATCH = 64,             /* entries listed at once */
    LAST_BLOCK = 20 * 512,  /* the archive's length is a multiple of that, as tar's */
    READ_AGAIN = FS_BLOCK,  /* in such pieces, what could not be read as a whole */
    ZEROS_BYTES = 1u << 30, /* of address space, for holes: libarchive skips them */
};

/* ---- going through the tree ---- */

struct found {
    struct fs_attr attr;
    char name[FS_NAME_MAX + 1];
    uint64_t next;
};

struct level {
    uint64_t ino, cookie;
    size_t path_len;
};

struct walk;
/* path: "./a/b", of what is to be visited. */
typedef int visit_fn(struct walk *w, const struct stat *st, const char *path);

struct walk {
    struct tar *t;
    visit_fn *visit;
    struct buf path;     /* without a NUL between visits */
    struct level *level; /* directories that are open, the innermost last */
    size_t depth, cap;
    struct found found[BATCH];
    unsigned n;

    /* Of the visit that writes. */
    struct archive *archive;
    struct archive_entry *entry;
    struct archive_entry_linkresolver *links;
    struct buf names, value; /* of attributes */
    uint8_t *block;
    void *zeros;
    struct why *why;
};

/* A directory is the last of a batch: the listing goes on behind it later. */
static enum fs_taken take(void *arg, const char *name, const struct fs_attr *attr,
                          uint64_t next)
{
    struct walk *w = arg;
    struct found *f;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return FS_TAKEN;
    if (w->n == BATCH || (w->n && S_ISDIR(w->found[w->n - 1].attr.st.st_mode)))
        return FS_FULL;
    f = &w->found[w->n++];
    f->attr = *attr;
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->next = next;
    return FS_TAKEN_LOOKUP;
}

static int push(struct walk *w, uint64_t ino)
{
    if (w->depth == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 16;
        void *p = realloc(w->level, cap * sizeof(*w->level));

        if (!p)
            return -ENOMEM;
        w->level = p;
        w->cap = cap;
    }
    w->level[w->depth++] = (struct level){.ino = ino, .path_len = w->path.len};
    return 0;
}

static int visit_path(struct walk *w, const struct stat *st)
{
    int err;

    buf_append(&w->path, "", 1);
    err = buf_error(&w->path);
    if (!err)
        err = w->visit(w, st, (const char *)w->path.data);
    w->path.len--;
    return err;
}

static int visit_found(struct walk *w, const struct found *f)
{
    size_t len = w->path.len;
    int err;

    buf_append(&w->path, "/", 1);
    buf_append_slice(&w->path, slice_str(f->name));
    err = visit_path(w, &f->attr.st);
    if (!err && S_ISDIR(f->attr.st.st_mode))
        return push(w, f->attr.st.st_ino);
    fs_forget(w->t->fs, f->attr.st.st_ino, 1);
    w->path.len = len;
    return err;
}

static int list_some(struct walk *w)
{
    struct level *l = &w->level[w->depth - 1];
    uint64_t ino = l->ino;
    unsigned i;
    int err;

    w->path.len = l->path_len;
    w->n = 0;
    err = fs_readdir(w->t->fs, ino, l->cookie, true, take, w);
    if (!err && !w->n) {
        w->depth--;
        if (ino != FS_ROOT)
            fs_forget(w->t->fs, ino, 1);
    }
    if (err) { /* what cannot be listed: tell, and go on with the rest */
        buf_append(&w->path, "", 1);
        tar_problem(w->t, (const char *)w->path.data, "cannot be listed: %s",
                    strerror(-err));
        w->depth--;
        err = 0;
    }
    for (i = 0; i < w->n && !err; i++) {
        w->level[w->depth - 1].cookie = w->found[i].next;
        err = visit_found(w, &w->found[i]);
    }
    return err;
}

/* The inode of t->path, whose name is returned for a file, "" for a directory. */
static int find_start(struct tar *t, struct fs_attr *at, const char **name,
                      struct why *why)
{
    char *copy = strdup(t->path), *rest = copy, *word;
    int err = copy ? fs_getattr(t->fs, FS_ROOT, at) : -ENOMEM;

    *name = "";
    while (!err && (word = strsep(&rest, "/"))) {
        if (!*word || strcmp(word, ".") == 0)
            continue;
        if (strcmp(word, "..") == 0)
            err = why_set(why, -EINVAL, "%s: give a path without \"..\"", t->path);
        else
            err = fs_lookup(t->fs, at->st.st_ino, word, at);
        *name = t->path + (word - copy);
    }
    free(copy);
    if (err == -EINVAL)
        return err;
    if (err)
        return why_set(why, err, "%s: %s", t->path, strerror(-err));
    if (S_ISDIR(at->st.st_mode))
        *name = "";
    return 0;
}

static int go_through(struct walk *w, struct why *why)
{
    struct fs_attr at;
    const char *name;
    int err = find_start(w->t, &at, &name, why);

    if (err)
        return err;
    buf_append(&w->path, ".", 1);
    if (*name) {
        buf_append(&w->path, "/", 1);
        buf_append(&w->path, name, strcspn(name, "/"));
    }
    err = visit_path(w, &at.st);
    if (!err && S_ISDIR(at.st.st_mode))
        err = push(w, at.st.st_ino);
    while (!err && w->depth)
        err = list_some(w);
    return err;
}

static void walk_release(struct walk *w)
{
    free(w->level);
    buf_release(&w->path);
    free(w);
}

/* ---- measuring ---- */

static uint64_t bytes_of(const struct stat *st)
{
    uint64_t blocks = (uint64_t)st->st_blocks * 512, size = (uint64_t)st->st_size;

    if (!S_ISREG(st->st_mode))
        return 0;
    return (blocks < size ? blocks : size) / st->st_nlink;
}

static int add_bytes(struct walk *w, const struct stat *st, const char *path)
{
    w->t->total += bytes_of(st);
    return 0;
}

int tar_measure(struct tar *t, uint64_t *bytes, struct why *why)
{
    struct walk *w = calloc(1, sizeof(*w));
    uint64_t problems = t->problems;
    struct tar quiet = *t;
    int err;

    if (!w)
        return why_set(why, -ENOMEM, "%s", strerror(ENOMEM));
    why_set(why, 0, "%s", strerror(ENOMEM));
    w->t = &quiet;
    w->visit = add_bytes;
    quiet.total = 0;
    err = go_through(w, why);
    walk_release(w);
    *bytes = quiet.total;
    t->problems = problems; /* told when it is written */
    return err;
}

/* ---- writing ---- */

static int archive_why(struct walk *w)
{
    int err = libarchive.archive_errno(w->archive);
    const char *text = libarchive.archive_error_string(w->archive);

    if (err > 0) /* text is less: "Write error" */
        text = strerror(err);
    return why_set(w->why, err > 0 ? -err : -EIO, "the archive cannot be written: %s",
                   text ? text : strerror(EIO));
}

static int put_attribute(struct walk *w, uint64_t ino, const char *name)
{
    size_t len = 0;
    uint8_t *to;
    int err;

    buf_clear(&w->value);
    to = buf_reserve(&w->value, FS_XATTR_SIZE_MAX);
    if (!to)
        return -ENOMEM;
    err = fs_getxattr(w->t->fs, ino, name, to, FS_XATTR_SIZE_MAX, &len);
    if (err)
        return err;
    if (strcmp(name, TAR_ACL_ACCESS) == 0)
        return tar_put_acl(w->entry, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, slice_of(to, len));
    if (strcmp(name, TAR_ACL_DEFAULT) == 0)
        return tar_put_acl(w->entry, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, slice_of(to, len));
    libarchive.archive_entry_xattr_add_entry(w->entry, name, to, len);
    return 0;
}

static void put_attributes(struct walk *w, const struct stat *st, const char *path)
{
    size_t len = 0, at;
    char *names;
    int err;

    buf_clear(&w->names);
    names = (char *)buf_reserve(&w->names, FS_XATTR_LIST_MAX);
    err = names ? fs_listxattr(w->t->fs, NULL, st->st_ino, names, FS_XATTR_LIST_MAX, &len)
                : -ENOMEM;
    if (err)
        tar_problem(w->t, path, "its attributes cannot be read: %s", strerror(-err));
    for (at = 0; !err && at < len; at += strlen(names + at) + 1) {
        int one = put_attribute(w, st->st_ino, names + at);

        if (one)
            tar_problem(w->t, path, "attribute %s cannot be read: %s", names + at,
                        strerror(-one));
    }
}

/* [*from, *to): the next data at or after from; both at the size: none. */
static int next_data(struct walk *w, const struct stat *st, uint64_t *from, uint64_t *to)
{
    uint64_t size = (uint64_t)st->st_size;
    int err = fs_lseek(w->t->fs, st->st_ino, *from, SEEK_DATA, from);

    if (err == -ENXIO) {
        *from = *to = size;
        return 0;
    }
    return err ? err : fs_lseek(w->t->fs, st->st_ino, *from, SEEK_HOLE, to);
}

static bool is_sparse(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_blocks * 512 < st->st_size;
}

/* Without any data it is one piece of nothing, or libarchive takes it for full. */
static int put_holes(struct walk *w, const struct stat *st)
{
    uint64_t from = 0, to = 0, size = (uint64_t)st->st_size;
    bool any = false;
    int err = 0;

    while (!err && from < size) {
        err = next_data(w, st, &from, &to);
        if (!err && from < size) {
            libarchive.archive_entry_sparse_add_entry(w->entry, (int64_t)from,
                                                      (int64_t)(to - from));
            any = true;
            from = to;
        }
    }
    if (!err && !any)
        libarchive.archive_entry_sparse_add_entry(w->entry, 0, 0);
    return err;
}

static int write_bytes(struct walk *w, const uint8_t *from, uint64_t len)
{
    while (len) {
        la_ssize_t n = libarchive.archive_write_data(w->archive, from, len);

        if (n <= 0)
            return archive_why(w);
        from += n;
        len -= (uint64_t)n;
    }
    return 0;
}

/* As much as can be; zeros for the rest. */
static void read_pieces(struct walk *w, const struct stat *st, const char *path,
                        uint64_t off, size_t len)
{
    size_t at, n, got;
    int err;

    for (at = 0; at < len; at += n) {
        n = len - at < READ_AGAIN ? len - at : READ_AGAIN;
        got = 0;
        err = fs_read(w->t->fs, st->st_ino, off + at, n, w->block + at, &got);
        if (!err && got == n)
            continue;
        memset(w->block + at + got, 0, n - got);
        tar_problem(w->t, path,
                    "%zu bytes at %" PRIu64 " cannot be read (%s): zeros in the archive",
                    n, off + at, strerror(err ? -err : EIO));
    }
}

static int tell_progress(struct walk *w)
{
    struct tar *t = w->t;

    return t->progress ? t->progress(t->arg, t->bytes, t->total, 0) : 0;
}

static int put_data(struct walk *w, const struct stat *st, const char *path,
                    uint64_t from, uint64_t to)
{
    size_t n, got;
    int err = 0;

    for (; !err && from < to; from += n) {
        n = to - from < TAR_BLOCK ? (size_t)(to - from) : TAR_BLOCK;
        if (fs_read(w->t->fs, st->st_ino, from, n, w->block, &got) || got != n)
            read_pieces(w, st, path, from, n);
        err = write_bytes(w, w->block, n);
        w->t->bytes += n;
        if (!err)
            err = tell_progress(w);
    }
    return err;
}

/* libarchive wants holes, too, and looks at none of their bytes. */
static int put_hole(struct walk *w, uint64_t len)
{
    int err = 0;

    while (!err && len) {
        uint64_t n = len < ZEROS_BYTES ? len : ZEROS_BYTES;

        err = write_bytes(w, w->zeros, n);
        len -= n;
        if (!err)
            err = tell_progress(w);
    }
    return err;
}

static int put_contents(struct walk *w, const struct stat *st, const char *path)
{
    uint64_t at = 0, from, to, size = (uint64_t)st->st_size;
    int err = 0;

    if (!is_sparse(st))
        return put_data(w, st, path, 0, size);
    while (!err && at < size) {
        from = at;
        err = next_data(w, st, &from, &to);
        if (!err)
            err = put_hole(w, from - at);
        if (!err)
            err = put_data(w, st, path, from, to);
        at = to;
    }
    return err;
}

static int fill_entry(struct walk *w, const struct stat *st, const char *path)
{
    char target[FS_SYMLINK_MAX + 1];
    int err = 0;

    libarchive.archive_entry_clear(w->entry);
    libarchive.archive_entry_copy_stat(w->entry, st);
    libarchive.archive_entry_unset_ctime(w->entry); /* nobody can set it */
    libarchive.archive_entry_copy_pathname(w->entry, path);
    if (!S_ISREG(st->st_mode))
        libarchive.archive_entry_set_size(w->entry, 0);
    if (S_ISLNK(st->st_mode)) {
        err = fs_readlink(w->t->fs, st->st_ino, target);
        if (!err)
            libarchive.archive_entry_copy_symlink(w->entry, target);
    }
    if (!err && is_sparse(st))
        err = put_holes(w, st);
    if (!err)
        put_attributes(w, st, path);
    return err;
}

static int put_entry(struct walk *w, const struct stat *st, const char *path)
{
    struct archive_entry *sparse = NULL;
    int err, said;

    if (S_ISSOCK(st->st_mode)) {
        tar_remark(w->t, path, "a socket, left out");
        return 0;
    }
    err = fill_entry(w, st, path);
    if (err) {
        tar_problem(w->t, path, "left out: %s", strerror(-err));
        return 0;
    }
    libarchive.archive_entry_linkify(w->links, &w->entry, &sparse);
    said = libarchive.archive_write_header(w->archive, w->entry);
    if (said == ARCHIVE_FATAL)
        return archive_why(w);
    if (said < ARCHIVE_WARN) {
        tar_problem(w->t, path, "left out: %s",
                    libarchive.archive_error_string(w->archive));
        return 0;
    }
    w->t->files++;
    if (S_ISREG(st->st_mode) && !libarchive.archive_entry_hardlink(w->entry))
        err = put_contents(w, st, path);
    if (!err && libarchive.archive_write_finish_entry(w->archive) < ARCHIVE_WARN)
        err = archive_why(w);
    return err ? err : tell_progress(w);
}

static int open_archive(struct walk *w)
{
    w->archive = libarchive.archive_write_new();
    w->entry = libarchive.archive_entry_new();
    w->links = libarchive.archive_entry_linkresolver_new();
    w->block = malloc(TAR_BLOCK);
    w->zeros = mmap(NULL, ZEROS_BYTES, PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!w->archive || !w->entry || !w->links || !w->block || w->zeros == MAP_FAILED)
        return -ENOMEM;
    libarchive.archive_entry_linkresolver_set_strategy(
        w->links, ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
    libarchive.archive_write_set_format_pax(w->archive);
    /* Not each attribute a second time, in a form of its own. */
    libarchive.archive_write_set_option(w->archive, "pax", "xattrheader", "SCHILY");
    libarchive.archive_write_set_bytes_per_block(w->archive, TAR_BLOCK);
    libarchive.archive_write_set_bytes_in_last_block(w->archive, LAST_BLOCK);
    if (libarchive.archive_write_open_fd(w->archive, w->t->fd) != ARCHIVE_OK)
        return archive_why(w);
    return 0;
}

static void close_archive(struct walk *w)
{
    libarchive.archive_entry_linkresolver_free(w->links);
    libarchive.archive_entry_free(w->entry);
    libarchive.archive_write_free(w->archive);
    if (w->zeros != MAP_FAILED)
        munmap(w->zeros, ZEROS_BYTES);
    free(w->block);
    buf_release(&w->names);
    buf_release(&w->value);
}

int tar_export(struct tar *t, struct why *why)
{
    struct walk *w = calloc(1, sizeof(*w));
    int err;

    why_set(why, 0, "%s", strerror(ENOMEM));
    if (!w)
        return -ENOMEM;
    w->t = t;
    w->why = why;
    w->visit = put_entry;
    err = open_archive(w);
    if (!err)
        err = go_through(w, why);
    if (!err && libarchive.archive_write_close(w->archive) != ARCHIVE_OK)
        err = archive_why(w);
    if (err && w->archive) /* cut off, it must not look whole */
        libarchive.archive_write_fail(w->archive);
    close_archive(w);
    walk_release(w);
    return err;
}

#endif
