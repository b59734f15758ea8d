/*
 * env_rados.c - the env of stores on Ceph RADOS; see env_rados.h, and env_rados_impl.h
 * for its parts.
 *
 * Names that this process alone may change (it has the store's lock, or the directory's)
 * are changed in memory, and sent by the next env_sync_dir, or within a second. All
 * others, and directories, are changed at once.
 */
#if __has_include(<rados/librados.h>)

#include <stdlib.h>
#include <sys/random.h>

#include "env_rados_path.h"

enum {
    FIRST_OBJECTS =
        16, /* that a new file may have, before the names object is told more */
};

/* ---- changing names ---- */

struct change_of {
    struct rados_place *at, *to;
    struct rados_entry e;
};

enum when { SOON, NOW };

static int change_names(struct change_of *c, names_fn *fn, enum when when)
{
    struct names *n = c->at->n;
    int rc;

    if (!n->store || !names_are_ours(n, c->at->dir) ||
        (c->to && !names_are_ours(n, c->to->dir)))
        return names_at_once(n, fn, c);
    rc = rados_know(n, c->at->dir, RADOS_CACHED);
    if (!rc)
        rc = fn(n, c);
    return rc || when == SOON ? rc : names_commit_locked(n);
}

/* ---- files ---- */

static int do_create(struct names *n, void *arg)
{
    struct change_of *c = arg;
    struct rados_file rec = {
        .state = RADOS_OPEN, .objects = FIRST_OBJECTS, .session = n->session};
    int rc;

    if (rados_entry_of(c->at))
        return -EEXIST;
    c->e = (struct rados_entry){.kind = RADOS_FILE, .id = names_new_id_locked(n)};
    rc = names_set_file(n, c->e.id, &rec);
    return rc ? rc : names_set_entry(n, c->at->dir, c->at->name, &c->e);
}

/* A file anew under the name: no append of who had it before can get into that. */
static int do_reuse(struct names *n, void *arg)
{
    struct change_of *c = arg;
    struct rados_file rec = {
        .state = RADOS_OPEN, .objects = FIRST_OBJECTS, .session = n->session};
    struct entry *e = rados_entry_of(c->at);
    int rc;

    if (!e)
        return -ENOENT;
    if (e->is.kind != RADOS_FILE)
        return -EISDIR;
    c->e = (struct rados_entry){.kind = RADOS_FILE, .id = names_new_id_locked(n)};
    rc = names_set_file(n, c->e.id, &rec);
    return rc ? rc : names_set_entry(n, c->at->dir, c->at->name, &c->e);
}

static int open_locked(struct rados_place *p, enum env_mode mode, uint64_t preallocate,
                       struct env_file **out)
{
    struct change_of c = {.at = p};
    struct node *node = NULL;
    int rc = mode == ENV_READ ? rados_know(p->n, p->dir, RADOS_FRESH)
                              : names_session_locked(p->n);

    if (!rc && mode != ENV_READ)
        rc = change_names(&c, mode == ENV_CREATE ? do_create : do_reuse, NOW);
    if (!rc)
        rc = rados_find_file(p, &node);
    return rc ? rc : rados_open_node(p->n, node, mode, preallocate, out);
}

static int store_open(struct env *e, const char *path, enum env_mode mode,
                      uint64_t preallocate, struct env_file **out)
{
    struct rados_place p;
    int rc = rados_find_place(path, RADOS_CACHED, &p);

    if (rc)
        return rc;
    if (!p.n->store)
        return err_corrupt(path, 0, "not a regular file");
    mutex_lock(&p.n->mu);
    rc = open_locked(&p, mode, preallocate, out);
    mutex_unlock(&p.n->mu);
    return rc;
}

/* ---- names ---- */

static int do_rename(struct names *n, void *arg)
{
    struct change_of *c = arg;
    struct entry *from = rados_entry_of(c->at), *to = rados_entry_of(c->to);
    int rc;

    if (!from)
        return -ENOENT;
    if (from == to)
        return 0;
    if (to && (from->is.kind != RADOS_FILE || to->is.kind != RADOS_FILE))
        return to->is.kind == RADOS_FILE ? -ENOTDIR : -EEXIST;
    if (to && from->is.id == to->is.id)
        return 0; /* as POSIX has it */
    c->e = from->is;
    rc = names_set_entry(n, c->to->dir, c->to->name, &c->e);
    return rc ? rc : names_drop_entry(n, c->at->dir, c->at->name);
}

static int store_rename(struct env *env, const char *from, const char *to)
{
    struct rados_place a, b;
    struct change_of c = {.at = &a, .to = &b};
    struct entry *e;
    int rc = rados_find_place(from, RADOS_CACHED, &a);

    if (!rc)
        rc = rados_find_place(to, RADOS_CACHED, &b);
    if (rc)
        return rc;
    if (a.n != b.n || !a.name[0] || !b.name[0])
        return -EXDEV;
    mutex_lock(&a.n->mu);
    rc = rados_know(a.n, a.dir, RADOS_CACHED);
    e = rc ? NULL : rados_entry_of(&a);
    if (!rc && e && e->is.kind == RADOS_FILE)
        rc = change_names(&c, do_rename, SOON);
    else if (!rc)
        rc = names_at_once(a.n, do_rename, &c);
    mutex_unlock(&a.n->mu);
    return rc;
}

/* Of a file, as far as this process knows. mu of its names is held. */
static uint64_t stored_bytes(struct node *node)
{
    uint64_t bytes = node->rec.state == RADOS_OPEN ? 0 : node->rec.size;

    mutex_lock(&node->mu);
    if (node->w)
        bytes = node->w->pos;
    mutex_unlock(&node->mu);
    return bytes;
}

static int do_unlink(struct names *n, void *arg)
{
    struct change_of *c = arg;
    struct entry *e = rados_entry_of(c->at);
    struct node *node;

    if (!e)
        return -ENOENT;
    if (e->is.kind != RADOS_FILE)
        return -EISDIR;
    node = names_node(n, e->is.id);
    if (atomic_load(&n->conn->full) && node && node->links == 1)
        conn_give_credit(n->conn, stored_bytes(node));
    return names_drop_entry(n, c->at->dir, c->at->name);
}

static int store_unlink(struct env *env, const char *path)
{
    struct rados_place p;
    struct change_of c = {.at = &p};
    int rc = rados_find_place(path, RADOS_CACHED, &p);

    if (rc)
        return rc;
    if (!p.n->store)
        return -EISDIR;
    mutex_lock(&p.n->mu);
    rc = change_names(&c, do_unlink, SOON);
    mutex_unlock(&p.n->mu);
    if (!rc && atomic_load(&p.n->conn->full))
        rados_wake_reaper();
    return rc;
}

static int do_link(struct names *n, void *arg)
{
    struct change_of *c = arg;
    struct entry *from = rados_entry_of(c->at);

    if (!from)
        return -ENOENT;
    if (from->is.kind != RADOS_FILE)
        return -EPERM;
    if (rados_entry_of(c->to))
        return -EEXIST;
    c->e = from->is;
    return names_set_entry(n, c->to->dir, c->to->name, &c->e);
}

static int store_link(struct env *env, const char *from, const char *to)
{
    struct rados_place a, b;
    struct change_of c = {.at = &a, .to = &b};
    int rc = rados_find_place(from, RADOS_CACHED, &a);

    if (!rc)
        rc = rados_find_place(to, RADOS_CACHED, &b);
    if (rc)
        return rc;
    if (a.n != b.n || !a.n->store)
        return -EXDEV;
    mutex_lock(&a.n->mu);
    rc = change_names(&c, do_link, SOON);
    mutex_unlock(&a.n->mu);
    return rc;
}

static int do_mkdir(struct names *n, void *arg)
{
    struct change_of *c = arg;

    if (rados_entry_of(c->at))
        return -EEXIST;
    return names_set_entry(n, c->at->dir, c->at->name, &c->e);
}

static int do_rmdir(struct names *n, void *arg)
{
    struct change_of *c = arg;
    struct entry *e = rados_entry_of(c->at);
    size_t i;

    if (!e)
        return -ENOENT;
    if (e->is.kind == RADOS_FILE)
        return -ENOTDIR;
    i = e->is.kind == RADOS_DIR ? names_first(n, e->is.id) : n->n_entries;
    if (i < n->n_entries && n->entry[i]->dir == e->is.id)
        return -ENOTEMPTY;
    c->e = e->is;
    return names_drop_entry(n, c->at->dir, c->at->name);
}

/* The object first: what has a name is there. */
static int make_store(struct rados_place *p)
{
    struct change_of c = {.at = p, .e.kind = RADOS_STORE};
    struct names *n;
    int rc;

    rc = names_create(p->n, 0);
    if (rc && rc != -EEXIST)
        return rc;
    do
        if (getrandom(&c.e.id, sizeof(c.e.id), 0) != sizeof(c.e.id))
            return -EIO;
    while (!c.e.id);
    mutex_lock(&p->n->mu);
    rc = names_refresh_locked(p->n);
    if (!rc && rados_entry_of(p))
        rc = -EEXIST;
    mutex_unlock(&p->n->mu);
    if (!rc)
        rc = names_get(p->n->pool, c.e.id, p->n->label, &n);
    if (!rc)
        rc = names_create(n, c.e.id);
    if (rc)
        return rc;
    mutex_lock(&p->n->mu);
    rc = names_at_once(p->n, do_mkdir, &c);
    mutex_unlock(&p->n->mu);
    if (rc)
        ra.remove(n->io, n->oid);
    return rc;
}

static int store_mkdir(struct env *env, const char *path)
{
    struct rados_place p;
    struct change_of c = {.at = &p, .e.kind = RADOS_DIR};
    int rc = rados_find_place(path, RADOS_CACHED, &p);

    if (rc)
        return rc;
    if (!p.name[0])
        return -EEXIST;
    if (!p.n->store)
        return make_store(&p);
    mutex_lock(&p.n->mu);
    rc = names_session_locked(p.n);
    c.e.id = names_new_id_locked(p.n);
    if (!rc)
        rc = names_at_once(p.n, do_mkdir, &c);
    mutex_unlock(&p.n->mu);
    return rc;
}

/* Nobody has a name in it: what is left of it are objects of files that had one. */
static int remove_store(struct rados_place *p)
{
    struct change_of c = {.at = p};
    struct names *n;
    int rc = rados_find_store(p->n, p->n->pool, p->name, &n);

    if (rc)
        return rc;
    mutex_lock(&n->mu);
    rc = names_refresh_locked(n);
    if (!rc && n->n_entries)
        rc = -ENOTEMPTY;
    if (!rc)
        rc = names_session_locked(n);
    mutex_unlock(&n->mu);
    while (!rc && (rc = rados_reap(n)) > 0)
        rc = 0;
    if (rc)
        return rc;
    mutex_lock(&p->n->mu);
    rc = names_at_once(p->n, do_rmdir, &c);
    mutex_unlock(&p->n->mu);
    return rc ? rc : conn_errno(ra.remove(n->io, n->oid));
}

static int store_rmdir(struct env *env, const char *path)
{
    struct rados_place p;
    struct change_of c = {.at = &p};
    int rc = rados_find_place(path, RADOS_CACHED, &p);

    if (rc)
        return rc;
    if (!p.name[0])
        return -EBUSY;
    if (!p.n->store)
        return remove_store(&p);
    mutex_lock(&p.n->mu);
    rc = names_at_once(p.n, do_rmdir, &c);
    mutex_unlock(&p.n->mu);
    return rc;
}

/* fn may call us: the names are copied before it sees one. */
static int store_list(struct env *env, const char *path, env_list_fn *fn, void *arg)
{
    struct buf copy = {0};
    struct rados_place p;
    size_t i, at;
    int rc = rados_find_dir(path, RADOS_FRESH, &p);

    if (rc)
        return rc;
    mutex_lock(&p.n->mu);
    rc = rados_know(p.n, p.dir, RADOS_FRESH);
    for (i = rc ? p.n->n_entries : names_first(p.n, p.dir);
         i < p.n->n_entries && p.n->entry[i]->dir == p.dir; i++)
        buf_append(&copy, p.n->entry[i]->name, strlen(p.n->entry[i]->name) + 1);
    mutex_unlock(&p.n->mu);
    if (!rc)
        rc = buf_error(&copy);
    for (at = 0; !rc && at < copy.len; at += strlen((char *)copy.data + at) + 1)
        rc = fn(arg, (char *)copy.data + at);
    buf_release(&copy);
    return rc;
}

static int store_sync_dir(struct env *env, const char *path)
{
    struct rados_place p;
    int rc = rados_find_dir(path, RADOS_CACHED, &p);

    if (rc)
        return rc;
    mutex_lock(&p.n->mu);
    rc = names_commit_locked(p.n);
    mutex_unlock(&p.n->mu);
    return rc;
}

/* A file, with a handle: so it stays when mu is dropped. */
static int hold_file(struct rados_place *p, struct node **node)
{
    int rc;

    mutex_lock(&p->n->mu);
    rc = rados_know(p->n, p->dir, RADOS_FRESH);
    if (!rc && rados_entry_of(p) && rados_entry_of(p)->is.kind != RADOS_FILE)
        rc = -ENOENT;
    if (!rc)
        rc = rados_find_file(p, node);
    if (!rc)
        (*node)->handles++;
    mutex_unlock(&p->n->mu);
    return rc;
}

static void let_go(struct node *node)
{
    mutex_lock(&node->names->mu);
    node->handles--;
    mutex_unlock(&node->names->mu);
}

static int store_stat(struct env *env, const char *path, uint64_t *size)
{
    struct node *node;
    struct rados_place p;
    int rc = rados_find_place(path, RADOS_FRESH, &p);

    if (rc)
        return rc;
    rc = p.n->store ? hold_file(&p, &node) : -ENOENT;
    if (rc)
        return rc;
    rc = rados_node_size(node, size);
    let_go(node);
    return rc;
}

static int id_of(const char *path, uint64_t *store, uint64_t *id)
{
    struct node *node;
    struct rados_place p;
    int rc = rados_find_place(path, RADOS_FRESH, &p);

    if (rc)
        return rc;
    if (!p.n->store)
        return -ENOENT;
    mutex_lock(&p.n->mu);
    rc = rados_know(p.n, p.dir, RADOS_FRESH);
    if (!rc)
        rc = rados_find_file(&p, &node);
    if (!rc) {
        *store = p.n->store;
        *id = node->id;
    }
    mutex_unlock(&p.n->mu);
    return rc;
}

static int store_same(struct env *env, const char *a, const char *b)
{
    uint64_t store[2], id[2];
    int rc = id_of(a, &store[0], &id[0]);

    if (!rc)
        rc = id_of(b, &store[1], &id[1]);
    return rc ? rc : store[0] == store[1] && id[0] == id[1];
}

/* ---- locks ---- */

struct env_lock {
    struct names *n;
    struct held *held;
};

static int store_lock(struct env *env, const char *path, bool shared,
                      struct env_lock **out)
{
    struct env_lock *l = calloc(1, sizeof(*l));
    struct rados_place p;
    int rc = l ? rados_find_place(path, RADOS_FRESH, &p) : -ENOMEM;

    if (!rc && !p.n->store)
        rc = -EISDIR;
    if (!rc) {
        l->n = p.n;
        rc = rados_lock_take(p.n, p.dir, shared, &l->held);
    }
    if (rc)
        free(l);
    else
        *out = l;
    return rc;
}

static void store_unlock(struct env *env, struct env_lock *l)
{
    rados_lock_give(l->n, l->held);
    free(l);
}

int env_rados_file(const char *path, struct env_rados_file *f)
{
    struct node *node;
    struct rados_place p;
    int rc = rados_find_place(path, RADOS_FRESH, &p);

    if (rc)
        return rc;
    rc = p.n->store ? hold_file(&p, &node) : -ENOENT;
    if (rc)
        return rc;
    rc = rados_node_size(node, &f->size);
    mutex_lock(&p.n->mu);
    f->id = node->id;
    f->closed_ns = node->rec.mtime_ns;
    f->links = node->links;
    f->open = node->rec.state == RADOS_OPEN;
    node->handles--;
    mutex_unlock(&p.n->mu);
    return rc;
}

struct stamp {
    struct rados_place *at;
    uint64_t closed_ns;
};

static int do_stamp(struct names *n, void *arg)
{
    struct stamp *s = arg;
    struct node *node;
    struct rados_file rec;
    int rc = rados_find_file(s->at, &node);

    if (rc)
        return rc;
    rec = node->rec;
    rec.mtime_ns = s->closed_ns;
    return rec.state == RADOS_OPEN ? -EBUSY : names_set_file(n, node->id, &rec);
}

int env_rados_set_closed(const char *path, uint64_t closed_ns)
{
    struct rados_place p;
    struct stamp s = {.at = &p, .closed_ns = closed_ns};
    int rc = rados_find_place(path, RADOS_FRESH, &p);

    if (rc)
        return rc;
    if (!p.n->store)
        return -ENOENT;
    mutex_lock(&p.n->mu);
    rc = names_at_once(p.n, do_stamp, &s);
    mutex_unlock(&p.n->mu);
    return rc;
}

/* ---- the rest ---- */

static int store_space(struct env *env, const char *path, uint64_t *total,
                       uint64_t *avail)
{
    struct rados_place p;
    int rc = rados_find_dir(path, RADOS_CACHED, &p);

    return rc ? rc : rados_space(p.n, total, avail);
}

static bool store_full(struct env *env)
{
    return conn_is_full();
}

static uint64_t store_now_ns(struct env *e)
{
    return conn_now_ns();
}

static void store_sleep_ns(struct env *e, uint64_t ns)
{
    env_sleep_ns(env_posix(), ns);
}

static void store_background(struct env *e)
{
    env_background(env_posix());
}

static const struct env_ops rados_ops = {
    .open = store_open,
    .rename = store_rename,
    .unlink = store_unlink,
    .link = store_link,
    .mkdir = store_mkdir,
    .rmdir = store_rmdir,
    .list = store_list,
    .sync_dir = store_sync_dir,
    .stat = store_stat,
    .same = store_same,
    .lock = store_lock,
    .unlock = store_unlock,
    .space = store_space,
    .full = store_full,
    .now_ns = store_now_ns,
    .sleep_ns = store_sleep_ns,
    .background = store_background,
};

struct env *env_rados(void)
{
    static struct env env = {.ops = &rados_ops, .appends_in_memory = true};

    return &env;
}

#endif
