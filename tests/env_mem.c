/*
 * env_mem.c - the calls of env.h; see env_mem.h. One lock for everything.
 */
#include "env_mem_impl.h"

#include "test.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct mem_file {
    struct env_file base;
    struct env_mem *env;
    struct mem_node *node;
    uint64_t pos;
    uint64_t chunk; /* preallocated at a time; 0: never */
    char name[MEM_NAME];
};

static struct mem_file *mem_file(struct env_file *f)
{
    return (struct mem_file *)f;
}

static const char *last_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static bool fails_for(const struct env_mem *m, const char *name)
{
    size_t end = strlen(m->fail_only), len = strlen(name);

    if (m->fail_only[0] != '*')
        return !end || strcmp(m->fail_only, name) == 0;
    return len >= --end && strcmp(m->fail_only + 1, name + len - end) == 0;
}

static bool fault_due(struct env_mem *m, enum env_mem_kind kind, const char *path)
{
    if (!m->fail_in || !(m->fail_kinds & kind))
        return false;
    if (!fails_for(m, last_name(path)))
        return false;
    if (--m->fail_in)
        return false;
    if (m->fail_how == ENV_MEM_FOREVER)
        m->fail_in = 1;
    m->failures++;
    return true;
}

/* Every call that may be told to fail begins here. */
static int enter(struct env_mem *m, enum env_mem_kind kind, const char *path)
{
    const unsigned reads = ENV_MEM_OPEN_READ | ENV_MEM_READ | ENV_MEM_LIST | ENV_MEM_STAT;

    if (!(kind & reads)) {
        if (!m->calls_left)
            return -EIO;
        m->calls++;
        if (m->calls_left != UINT64_MAX)
            m->calls_left--;
        if (m->watch)
            m->watch(m->watch_arg, kind, last_name(path));
    }
    return fault_due(m, kind, path) ? -m->fail_err : 0;
}

/* ---- files ---- */

static int mem_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                     size_t *got)
{
    struct mem_file *f = mem_file(file);
    int rc;

    *got = 0;
    mem_lock(f->env);
    rc = enter(f->env, ENV_MEM_READ, f->name);
    if (rc == 0 && off < f->node->data.size) {
        uint64_t left = f->node->data.size - off;

        *got = len < left ? len : (size_t)left;
        mem_data_read(&f->node->data, off, to, *got);
    }
    return mem_unlock(f->env, rc);
}

/* How many of len bytes at off the disk has room for. */
static size_t room_for(struct env_mem *m, const struct mem_node *node, uint64_t off,
                       size_t len)
{
    uint64_t size = node->data.size, used, room;

    if (m->space == UINT64_MAX || off + len <= size)
        return len;
    used = mem_tree_used(&m->tree);
    room = used < m->space ? m->space - used : 0;
    room += size > off ? size - off : 0; /* what is overwritten is there */
    return room < len ? (size_t)room : len;
}

/* Preallocate again when what was is used up. */
static void grow(struct mem_file *f, size_t len)
{
    struct mem_data *d = &f->node->data;
    uint64_t size = d->size;

    if (!f->chunk || f->pos + len <= size)
        return;
    while (size < f->pos + len)
        size += f->chunk;
    if (room_for(f->env, f->node, d->size, (size_t)(size - d->size)) == size - d->size)
        mem_data_resize(d, size);
}

static int mem_append(struct env_file *file, const struct slice *parts, unsigned n)
{
    struct mem_file *f = mem_file(file);
    struct env_mem *m = f->env;
    struct buf all = {0};
    bool dead;
    size_t fits;
    unsigned i;
    int rc;

    for (i = 0; i < n; i++)
        buf_append_slice(&all, parts[i]);
    mem_lock(m);
    dead = !m->calls_left;
    rc = enter(m, ENV_MEM_APPEND, f->name);
    if (!dead)
        grow(f, all.len);
    fits = room_for(m, f->node, f->pos, all.len);
    if (rc)
        fits = dead ? 0 : (size_t)test_below(&m->rng, fits);
    else if (fits < all.len)
        rc = -ENOSPC;
    mem_data_write(&f->node->data, f->pos, all.data, fits);
    if (rc == 0)
        f->pos += all.len;
    buf_release(&all);
    return mem_unlock(m, rc);
}

static int mem_sync(struct env_file *file)
{
    struct mem_file *f = mem_file(file);
    bool dead;
    int rc;

    env_about_to_block();
    mem_lock(f->env);
    dead = !f->env->calls_left;
    rc = enter(f->env, ENV_MEM_SYNC, f->name);
    if (rc == 0)
        mem_data_sync(&f->node->data);
    else if (!dead)
        mem_data_sync_failed(&f->node->data);
    return mem_unlock(f->env, rc);
}

static int mem_truncate(struct env_file *file, uint64_t size)
{
    struct mem_file *f = mem_file(file);
    int rc;

    mem_lock(f->env);
    rc = enter(f->env, ENV_MEM_TRUNCATE, f->name);
    if (rc == 0) {
        mem_data_resize(&f->node->data, size);
        f->chunk = 0;
        if (f->pos > size)
            f->pos = size;
    }
    return mem_unlock(f->env, rc);
}

/* Zeros behind what is appended, as a directory has them. */
static bool mem_in_small_pieces(struct env_file *file)
{
    mem_file(file)->chunk = 4096;
    return true;
}

static int mem_size(struct env_file *file, uint64_t *size)
{
    struct mem_file *f = mem_file(file);

    mem_lock(f->env);
    *size = f->node->data.size;
    return mem_unlock(f->env, 0);
}

static void mem_readahead(struct env_file *file, uint64_t off, size_t len)
{
}

static void mem_forget(struct env_file *file, uint64_t off, size_t len)
{
    struct mem_file *f = mem_file(file);

    mem_lock(f->env);
    mem_data_forget(&f->node->data, off, len);
    mem_unlock(f->env, 0);
}

static int mem_close(struct env_file *file)
{
    struct mem_file *f = mem_file(file);
    struct env_mem *m = f->env;

    mem_lock(m);
    m->open_files--;
    f->node->handles--;
    mem_node_unref(f->node);
    free(f);
    return mem_unlock(m, 0);
}

static const struct env_file_ops file_ops = {
    .pread = mem_pread,
    .append = mem_append,
    .sync = mem_sync,
    .truncate = mem_truncate,
    .size = mem_size,
    .in_small_pieces = mem_in_small_pieces,
    .readahead = mem_readahead,
    .forget = mem_forget,
    .close = mem_close,
};

/* ---- names; the lock is held in those called _locked ---- */

int mem_find_locked(struct env_mem *m, const char *path, struct mem_node **dir,
                    const char **name, struct mem_node **node)
{
    int rc = mem_tree_parent(&m->tree, path, dir, name);

    if (rc)
        return rc;
    *node = mem_names_find(&(*dir)->now, *name);
    return *node ? 0 : -ENOENT;
}

static int preallocate_locked(struct env_mem *m, struct mem_node *node, uint64_t bytes)
{
    if (bytes <= node->data.size)
        return 0;
    if (m->space != UINT64_MAX &&
        mem_tree_used(&m->tree) + (bytes - node->data.size) > m->space)
        return -ENOSPC;
    mem_data_resize(&node->data, bytes);
    return 0;
}

static int get_node_locked(struct env_mem *m, const char *path, enum env_mode mode,
                           uint64_t preallocate, struct mem_node **node)
{
    struct mem_node *dir = NULL;
    const char *name;
    int rc;

    rc = enter(m, mode == ENV_READ ? ENV_MEM_OPEN_READ : ENV_MEM_OPEN, path);
    if (rc)
        return rc;
    rc = mem_find_locked(m, path, &dir, &name, node);
    if (mode != ENV_CREATE && rc == 0 && (*node)->is_dir)
        return -EISDIR;
    if (mode == ENV_CREATE && rc == 0)
        return -EEXIST;
    if (mode == ENV_CREATE && rc == -ENOENT && dir) {
        *node = mem_tree_make(&m->tree, dir, name, false);
        rc = preallocate_locked(m, *node, preallocate);
        if (rc)
            mem_tree_change(&m->tree, NULL, NULL, dir, name);
        return rc;
    }
    if (mode == ENV_REUSE && rc == 0)
        rc = preallocate_locked(m, *node, preallocate);
    return rc;
}

static int mem_open(struct env *e, const char *path, enum env_mode mode,
                    uint64_t preallocate, struct env_file **out)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *node;
    struct mem_file *f;
    int rc;

    mem_lock(m);
    rc = get_node_locked(m, path, mode, preallocate, &node);
    if (rc)
        return mem_unlock(m, rc);
    f = calloc(1, sizeof(*f));
    if (!f)
        abort();
    f->base.ops = &file_ops;
    f->env = m;
    f->node = node;
    f->chunk = mode == ENV_READ ? 0 : preallocate;
    snprintf(f->name, sizeof(f->name), "%s", last_name(path));
    node->refs++;
    node->handles++;
    m->open_files++;
    *out = &f->base;
    return mem_unlock(m, 0);
}

static int mem_rename(struct env *e, const char *from, const char *to)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *from_dir, *to_dir, *node, *target;
    const char *from_name, *to_name;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_RENAME, from);
    if (rc == 0)
        rc = mem_find_locked(m, from, &from_dir, &from_name, &node);
    if (rc == 0)
        rc = mem_tree_parent(&m->tree, to, &to_dir, &to_name);
    if (rc)
        return mem_unlock(m, rc);
    target = mem_names_find(&to_dir->now, to_name);
    if (target == node)
        return mem_unlock(m, 0); /* POSIX: two names of one file stay as they are */
    if (target && target->is_dir)
        return mem_unlock(m, node->is_dir ? -ENOTEMPTY : -EISDIR);
    mem_tree_change(&m->tree, to_dir, to_name, from_dir, from_name);
    return mem_unlock(m, 0);
}

static int remove_name(struct env *e, const char *path, bool is_dir)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir, *node;
    const char *name;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_UNLINK, path);
    if (rc == 0)
        rc = mem_find_locked(m, path, &dir, &name, &node);
    if (rc == 0 && node->is_dir != is_dir)
        rc = is_dir ? -ENOTDIR : -EISDIR;
    if (rc == 0 && is_dir && node->now.n)
        rc = -ENOTEMPTY;
    if (rc == 0)
        mem_tree_change(&m->tree, NULL, NULL, dir, name);
    return mem_unlock(m, rc);
}

static int mem_unlink(struct env *e, const char *path)
{
    return remove_name(e, path, false);
}

static int mem_rmdir(struct env *e, const char *path)
{
    return remove_name(e, path, true);
}

static int mem_link(struct env *e, const char *from, const char *to)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *from_dir, *to_dir, *node;
    const char *from_name, *to_name;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_LINK, from);
    if (rc == 0)
        rc = mem_find_locked(m, from, &from_dir, &from_name, &node);
    if (rc == 0)
        rc = mem_tree_parent(&m->tree, to, &to_dir, &to_name);
    if (rc == 0 && mem_names_find(&to_dir->now, to_name))
        rc = -EEXIST;
    if (rc == 0 && node->is_dir)
        rc = -EPERM;
    if (rc == 0)
        mem_tree_link(&m->tree, to_dir, to_name, node);
    return mem_unlock(m, rc);
}

static int mem_mkdir(struct env *e, const char *path)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir;
    const char *name;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_MKDIR, path);
    if (rc == 0)
        rc = mem_tree_parent(&m->tree, path, &dir, &name);
    if (rc == 0 && (!*name || mem_names_find(&dir->now, name)))
        rc = -EEXIST;
    if (rc == 0)
        mem_tree_make(&m->tree, dir, name, true);
    return mem_unlock(m, rc);
}

static int find_dir_locked(struct env_mem *m, const char *path, struct mem_node **out)
{
    struct mem_node *dir;
    const char *name;
    int rc = mem_tree_parent(&m->tree, path, &dir, &name);

    if (rc)
        return rc;
    *out = *name ? mem_names_find(&dir->now, name) : dir;
    if (!*out)
        return -ENOENT;
    return (*out)->is_dir ? 0 : -ENOTDIR;
}

static int mem_list(struct env *e, const char *path, env_list_fn *fn, void *arg)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir;
    struct buf names = {0};
    struct slice in, one;
    size_t i;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_LIST, path);
    if (rc == 0)
        rc = find_dir_locked(m, path, &dir);
    for (i = 0; rc == 0 && i < dir->now.n; i++) {
        const char *name = dir->now.list[i].name;

        put_bytes(&names, slice_of(name, strlen(name) + 1));
    }
    mem_unlock(m, 0);
    /* Without the lock: fn may call us. */
    in = buf_slice(&names);
    while (rc == 0 && get_bytes(&in, &one))
        rc = fn(arg, (const char *)one.data);
    buf_release(&names);
    return rc;
}

static int mem_sync_dir(struct env *e, const char *path)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir;
    int rc;

    env_about_to_block();
    mem_lock(m);
    rc = enter(m, ENV_MEM_SYNC_DIR, path);
    if (rc == 0)
        rc = find_dir_locked(m, path, &dir);
    if (rc == 0)
        mem_tree_sync(&m->tree, dir);
    return mem_unlock(m, rc);
}

static int mem_stat(struct env *e, const char *path, uint64_t *size)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir, *node;
    const char *name;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_STAT, path);
    if (rc == 0)
        rc = mem_find_locked(m, path, &dir, &name, &node);
    if (rc == 0 && node->is_dir)
        rc = -ENOENT;
    if (rc == 0)
        *size = node->data.size;
    return mem_unlock(m, rc);
}

static int mem_same(struct env *e, const char *a, const char *b)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir, *x, *y;
    const char *name;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_STAT, a);
    if (rc == 0)
        rc = mem_find_locked(m, a, &dir, &name, &x);
    if (rc == 0)
        rc = mem_find_locked(m, b, &dir, &name, &y);
    if (rc == 0 && (x->is_dir || y->is_dir))
        rc = -ENOENT;
    return mem_unlock(m, rc ? rc : x == y);
}

/* ---- locks, space, time ---- */

static int do_lock(struct env *e, const char *path, bool shared, struct env_lock **out)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir, *node;
    struct env_lock *l;
    const char *name;
    int rc;

    mem_lock(m);
    rc = enter(m, ENV_MEM_LOCK, path);
    if (rc == 0)
        rc = mem_tree_parent(&m->tree, path, &dir, &name);
    if (rc)
        return mem_unlock(m, rc);
    node = mem_names_find(&dir->now, name);
    if (!node)
        node = mem_tree_make(&m->tree, dir, name, false);
    for (l = m->locks; l; l = l->next)
        if (l->node == node && !(shared && l->shared))
            return mem_unlock(m, -EWOULDBLOCK);
    l = calloc(1, sizeof(*l));
    if (!l)
        abort();
    l->node = node;
    l->shared = shared;
    node->refs++;
    l->next = m->locks;
    m->locks = l;
    *out = l;
    return mem_unlock(m, 0);
}

static void do_unlock(struct env *e, struct env_lock *l)
{
    struct env_mem *m = mem_env(e);
    struct env_lock **at;

    mem_lock(m);
    for (at = &m->locks; *at != l; at = &(*at)->next)
        ;
    *at = l->next;
    mem_node_unref(l->node);
    free(l);
    mem_unlock(m, 0);
}

static int mem_space(struct env *e, const char *path, uint64_t *total, uint64_t *avail)
{
    struct env_mem *m = mem_env(e);
    uint64_t used;

    mem_lock(m);
    used = mem_tree_used(&m->tree);
    *total = m->space == UINT64_MAX ? 1ull << 40 : m->space;
    *avail = used < *total ? *total - used : 0;
    return mem_unlock(m, 0);
}

static uint64_t mem_now_ns(struct env *e)
{
    struct env_mem *m = mem_env(e);
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec +
           __atomic_load_n(&m->slept_ns, __ATOMIC_RELAXED);
}

/* The clock jumps ahead; the thread only lets others run. */
static void mem_sleep_ns(struct env *e, uint64_t ns)
{
    struct env_mem *m = mem_env(e);

    __atomic_fetch_add(&m->slept_ns, ns, __ATOMIC_RELAXED);
    usleep(ns < 20000 ? (useconds_t)(ns / 1000) : 20);
}

const struct env_ops env_mem_ops = {
    .open = mem_open,
    .rename = mem_rename,
    .unlink = mem_unlink,
    .link = mem_link,
    .mkdir = mem_mkdir,
    .rmdir = mem_rmdir,
    .list = mem_list,
    .sync_dir = mem_sync_dir,
    .stat = mem_stat,
    .same = mem_same,
    .lock = do_lock,
    .unlock = do_unlock,
    .space = mem_space,
    .now_ns = mem_now_ns,
    .sleep_ns = mem_sleep_ns,
};
