/*
 * flips_tree.c - see flips.h: a filesystem, and what it should hold.
 *
 * The truth is what a walk over it found while it was whole. Each name must be there
 * and lead to what it led to, or an error; a file that cannot be read must be named by
 * fs_scrub.
 */
#include "tests/flips.h"

#include <stdlib.h>
#include <sys/xattr.h>

#include "fs/fs.h"

enum { NODES = 80, NAME = 24, PATH = 120, SAID = 40 };

struct node {
    int dir; /* index of its directory; the root's is 0 */
    char name[NAME];
    struct stat st;
    struct buf content; /* or the target */
    char attribute[40];
};

struct tree {
    struct node node[NODES]; /* the root first */
    int n;
    uint64_t rng;
};

static const struct fs_cred cred = {.umask = 022};

/* ---- making ---- */

struct planter {
    struct fs *fs;
    struct tree *t;
};

static int plant(struct planter *p, int dir, const char *name)
{
    struct node *n = &p->t->node[p->t->n];

    ck_assert_int_lt(p->t->n, NODES);
    n->dir = dir;
    snprintf(n->name, sizeof(n->name), "%s", name);
    return p->t->n++;
}

static uint64_t ino_of(struct planter *p, int i)
{
    return p->t->node[i].st.st_ino;
}

static int plant_dir(struct planter *p, int dir, const char *name)
{
    int i = plant(p, dir, name);
    struct fs_attr a;

    ck_ok(fs_mkdir(p->fs, &cred, ino_of(p, dir), name, 0755, &a));
    p->t->node[i].st = a.st;
    return i;
}

static int plant_file(struct planter *p, int dir, const char *name, size_t len,
                      bool dense)
{
    int i = plant(p, dir, name);
    struct node *n = &p->t->node[i];
    struct fs_attr a;
    uint64_t word;

    ck_ok(fs_mknod(p->fs, &cred, ino_of(p, dir), name, S_IFREG | 0644, 0, &a));
    n->st = a.st;
    while (n->content.len < len) {
        word = dense ? test_random(&p->t->rng) : test_below(&p->t->rng, 4);
        buf_append(&n->content, &word,
                   len - n->content.len < 8 ? len - n->content.len : 8);
    }
    if (len)
        ck_ok(fs_write(p->fs, n->st.st_ino, 0, buf_slice(&n->content), false));
    return i;
}

static void overwrite(struct planter *p, int i, size_t off, size_t len)
{
    struct buf *c = &p->t->node[i].content;
    size_t at;

    for (at = off; at < off + len; at++)
        c->data[at] = (uint8_t)test_random(&p->t->rng);
    ck_ok(fs_write(p->fs, ino_of(p, i), off, slice_of(c->data + off, len), false));
}

static void make_tree(struct planter *p)
{
    struct fs_attr a;
    char name[NAME];
    uint64_t copied;
    int i, dir, other, file, copy;

    plant(p, 0, "");
    p->t->node[0].st.st_ino = FS_ROOT;
    dir = plant_dir(p, 0, "documents");
    other = plant_dir(p, dir, "old");
    for (i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "note%d", i);
        plant_file(p, i % 2 ? dir : other, name, (size_t)i * 30, false);
    }
    file = plant_file(p, 0, "photo", 20000, true);
    plant_file(p, 0, "text", 6000, false);
    ck_ok(lsm_flush(fs_store(p->fs)));
    overwrite(p, file, 5000, 3000);
    copy = plant_file(p, other, "copy", 0, false);
    ck_ok(fs_copy_range(p->fs, ino_of(p, file), 0, ino_of(p, copy), 0, 20000, &copied));
    buf_append_slice(&p->t->node[copy].content, buf_slice(&p->t->node[file].content));
    ck_ok(lsm_compact(fs_store(p->fs), true));
    i = plant(p, dir, "link");
    ck_ok(fs_link(p->fs, ino_of(p, file), ino_of(p, dir), "link", &a));
    p->t->node[i].st = a.st;
    buf_append_slice(&p->t->node[i].content, buf_slice(&p->t->node[file].content));
    i = plant(p, 0, "arrow");
    ck_ok(fs_symlink(p->fs, &cred, FS_ROOT, "arrow", "documents/old", &a));
    p->t->node[i].st = a.st;
    buf_append_slice(&p->t->node[i].content, slice_str("documents/old"));
    snprintf(p->t->node[file].attribute, sizeof(p->t->node[file].attribute),
             "of a photo");
    ck_ok(fs_setxattr(p->fs, &cred, ino_of(p, file), "user.what", slice_str("of a photo"),
                      0));
    memcpy(p->t->node[p->t->n - 2].attribute, p->t->node[file].attribute, 20);
    ck_ok(lsm_flush(fs_store(p->fs)));
    overwrite(p, copy, 100, 50);
}

/* ---- looking ---- */

struct look {
    struct tree *t;
    struct fs *fs;
    bool wrong;
    int err;
    bool unread[NODES]; /* contents that gave an error */
    char said[SAID][300];
    int n_said;
};

static void path_of(const struct tree *t, int i, char to[PATH])
{
    char rest[PATH] = "";

    for (; i; i = t->node[i].dir) {
        snprintf(to, PATH, "/%s%.80s", t->node[i].name, rest);
        snprintf(rest, sizeof(rest), "%s", to);
    }
    snprintf(to, PATH, "%s", *rest ? rest : "/");
}

static void say_wrong(struct look *l, int i, const char *what, int rc)
{
    char path[PATH];

    path_of(l->t, i, path);
    fprintf(stderr, "  %s: %s (%d)\n", path, what, rc);
    l->wrong = true;
}

/* True: it could not be read, and that is fair. */
static bool failed(struct look *l, int i, const char *what, int rc)
{
    if (!rc)
        return false;
    if (rc != -EUCLEAN && rc != -EIO)
        say_wrong(l, i, what, rc);
    else if (!l->err)
        l->err = rc;
    return true;
}

struct listing {
    struct look *l;
    int dir;
    bool seen[NODES];
    uint64_t cookie;
};

static enum fs_taken see_name(void *arg, const char *name, const struct fs_attr *attr,
                              uint64_t next)
{
    struct listing *g = arg;
    struct tree *t = g->l->t;
    int i;

    g->cookie = next;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return FS_TAKEN;
    for (i = 1; i < t->n; i++) {
        if (t->node[i].dir != g->dir || strcmp(t->node[i].name, name) != 0)
            continue;
        if (attr->st.st_ino != t->node[i].st.st_ino ||
            attr->st.st_mode != t->node[i].st.st_mode)
            say_wrong(g->l, i, "listed with other attributes", 0);
        g->seen[i] = true;
        return FS_TAKEN;
    }
    say_wrong(g->l, g->dir, name, 0);
    return FS_TAKEN;
}

static void look_at_names(struct look *l, int dir)
{
    struct listing g = {.l = l, .dir = dir};
    int i, rc = fs_readdir(l->fs, l->t->node[dir].st.st_ino, 0, true, see_name, &g);

    if (failed(l, dir, "list", rc))
        return;
    for (i = 1; i < l->t->n; i++)
        if (l->t->node[i].dir == dir && !g.seen[i])
            say_wrong(l, i, "not listed", 0);
}

static void look_at_content(struct look *l, int i)
{
    const struct node *n = &l->t->node[i];
    static uint8_t got[32 << 10];
    size_t len, off, part = 3000;
    int rc = fs_read(l->fs, n->st.st_ino, 0, sizeof(got), got, &len);

    l->unread[i] = rc != 0;
    if (!failed(l, i, "read", rc) &&
        !slice_eq(slice_of(got, len), buf_slice(&n->content)))
        say_wrong(l, i, "other content", 0);
    for (off = 0; off < n->content.len; off += part) {
        rc = fs_read(l->fs, n->st.st_ino, off, part, got, &len);
        if (!failed(l, i, "read", rc) && memcmp(got, n->content.data + off, len) != 0)
            say_wrong(l, i, "other content in a part", 0);
    }
}

static void look_at_attribute(struct look *l, int i)
{
    const struct node *n = &l->t->node[i];
    char got[64];
    size_t len;
    int rc = fs_getxattr(l->fs, n->st.st_ino, "user.what", got, sizeof(got), &len);

    if (rc == -ENODATA && !n->attribute[0])
        return;
    if (!failed(l, i, "attribute", rc) &&
        !slice_eq(slice_of(got, len), slice_str(n->attribute)))
        say_wrong(l, i, "another attribute", 0);
}

static void look_at_node(struct look *l, int i);

static void look_at_dir(struct look *l, int dir)
{
    int i;

    look_at_names(l, dir);
    for (i = 1; i < l->t->n; i++)
        if (l->t->node[i].dir == dir)
            look_at_node(l, i);
}

static void look_at_node(struct look *l, int i)
{
    const struct node *n = &l->t->node[i];
    char target[FS_SYMLINK_MAX + 1];
    struct fs_attr a;
    int rc = fs_lookup(l->fs, l->t->node[n->dir].st.st_ino, n->name, &a);

    if (failed(l, i, "look up", rc))
        return;
    if (a.st.st_ino != n->st.st_ino || a.st.st_mode != n->st.st_mode ||
        a.st.st_size != n->st.st_size || a.st.st_nlink != n->st.st_nlink ||
        a.st.st_mtim.tv_nsec != n->st.st_mtim.tv_nsec)
        say_wrong(l, i, "other attributes", 0);
    if (S_ISREG(n->st.st_mode)) {
        look_at_content(l, i);
        look_at_attribute(l, i);
    } else if (S_ISLNK(n->st.st_mode)) {
        rc = fs_readlink(l->fs, n->st.st_ino, target);
        if (!failed(l, i, "target", rc) &&
            !slice_eq(slice_str(target), buf_slice(&n->content)))
            say_wrong(l, i, "another target", 0);
    } else {
        look_at_dir(l, i);
    }
    fs_forget(l->fs, a.st.st_ino, 1);
}

static void keep_line(void *arg, const char *line)
{
    struct look *l = arg;

    if (l->n_said < SAID)
        snprintf(l->said[l->n_said++], sizeof(l->said[0]), "%s", line);
}

/* A link may be told by another name; a lost block of names by what is in it. */
static bool is_told(const struct look *l, int i)
{
    char path[PATH];
    int k, s;

    for (s = 0; s < l->n_said; s++) {
        if (strstr(l->said[s], "may have lost") || strstr(l->said[s], "directory:") ||
            strncmp(l->said[s], "inode", 5) == 0)
            return true;
        for (k = 1; k < l->t->n; k++) {
            if (l->t->node[k].st.st_ino != l->t->node[i].st.st_ino)
                continue;
            path_of(l->t, k, path);
            if (strncmp(l->said[s], path, strlen(path)) == 0 &&
                l->said[s][strlen(path)] == ':')
                return true;
        }
    }
    return false;
}

static void look_by_scrub(struct look *l, enum verdict *out)
{
    struct fs_scrub_options o = {.report = keep_line, .arg = l};
    uint64_t problems = 0;
    int i;

    ck_ok(fs_scrub(fs_store(l->fs), &o, &problems));
    *out = l->err ? FOUND_AT_READ : problems ? FOUND_BY_SCRUB : HARMLESS;
    if (!problems != !l->n_said || (l->err && !problems)) {
        fprintf(stderr, "  %llu problems, %d lines\n", (unsigned long long)problems,
                l->n_said);
        l->wrong = true;
    }
    for (i = 1; i < l->t->n; i++)
        if (l->unread[i] && !is_told(l, i))
            say_wrong(l, i, "cannot be read, and scrub does not tell", 0);
    for (i = 0; l->wrong && i < l->n_said; i++)
        fprintf(stderr, "  scrub: %s\n", l->said[i]);
}

static bool look_tree(struct victim *v, struct env *env, enum damage_kind kind,
                      bool write, enum verdict *out)
{
    struct look l = {.t = v->truth};
    struct lsm_options o;
    struct fs_options fo;
    struct lsm *db;
    int rc;

    flips_options(&o, env);
    fs_options_init(&fo);
    fo.writeback_ms = 0;
    fo.atime = FS_NOATIME;
    o.read_only = fo.read_only = !write;
    *out = FOUND_AT_OPEN;
    rc = lsm_open(v->dir, &o, &db);
    if (rc)
        return rc == -EUCLEAN && flips_logged();
    rc = fs_mount(db, &fo, &l.fs);
    if (rc) {
        lsm_close(db);
        if (rc != -EUCLEAN)
            fprintf(stderr, "  mounting: %d\n", rc);
        return rc == -EUCLEAN;
    }
    look_at_dir(&l, 0);
    if (write)
        (void)lsm_compact(db, true); /* it may fail, and must not hide anything */
    look_at_dir(&l, 0);
    look_by_scrub(&l, out);
    fs_unmount(l.fs);
    lsm_close(db);
    return !l.wrong;
}

/* What stands in the records in the end. */
static void learn_attributes(struct planter *p)
{
    struct fs_attr a;
    int i;

    for (i = 0; i < p->t->n; i++) {
        ck_ok(fs_getattr(p->fs, ino_of(p, i), &a));
        p->t->node[i].st = a.st;
    }
}

static void free_truth(void *truth)
{
    struct tree *t = truth;
    int i;

    for (i = 0; i < t->n; i++)
        buf_release(&t->node[i].content);
    free(t);
}

struct victim *victim_tree(uint64_t seed)
{
    struct victim *v = calloc(1, sizeof(*v));
    struct tree *t = calloc(1, sizeof(*t));
    struct planter p = {.t = t};
    struct lsm_options o;
    struct fs_options fo;
    struct lsm *db;

    *v = (struct victim){.name = "tree", .dir = "/s", .look = look_tree};
    v->truth = t;
    v->free_truth = free_truth;
    v->env = env_mem_new(seed);
    t->rng = seed | 1;
    flips_options(&o, v->env);
    fs_options_init(&fo);
    fo.writeback_ms = 0;
    o.create = true;
    o.format = FS_FORMAT;
    ck_ok(lsm_open(v->dir, &o, &db));
    ck_ok(fs_format(db, 0, 0, 0755, NULL));
    ck_ok(fs_mount(db, &fo, &p.fs));
    make_tree(&p);
    learn_attributes(&p);
    ck_ok(fs_unmount(p.fs));
    ck_ok(lsm_close(db));
    victim_note_files(v);
    return v;
}
