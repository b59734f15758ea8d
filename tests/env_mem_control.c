/*
 * env_mem_control.c - what tests do to an env_mem; see env_mem.h.
 */
#include "env_mem_impl.h"

#include <stdlib.h>

struct env *env_mem_new(uint64_t seed)
{
    struct env_mem *m = calloc(1, sizeof(*m));

    if (!m)
        abort();
    m->base.ops = &env_mem_ops;
    pthread_mutex_init(&m->mu, NULL);
    mem_tree_init(&m->tree);
    m->rng = seed * 2 + 1;
    m->space = UINT64_MAX;
    m->calls_left = UINT64_MAX;
    return &m->base;
}

void env_mem_free(struct env *e)
{
    struct env_mem *m = mem_env(e);

    if (!e)
        return;
    /* Not ck_assert: fuzzers have no Check running. */
    if (m->open_files || m->locks) {
        fprintf(stderr, "env_mem_free: %u files open%s\n", m->open_files,
                m->locks ? ", a lock held" : "");
        abort();
    }
    mem_tree_release(&m->tree);
    pthread_mutex_destroy(&m->mu);
    free(m);
}

struct env *env_mem_crash_clone(struct env *e, uint64_t seed, enum env_mem_crash mode)
{
    struct env *clone = env_mem_new(seed);
    struct env_mem *from = mem_env(e), *to = mem_env(clone);
    uint64_t rng = seed * 0x9E3779B97F4A7C15ull | 1;

    mem_lock(from);
    mem_tree_crash(&from->tree, &to->tree, mode, &rng);
    to->space = from->space;
    mem_unlock(from, 0);
    return clone;
}

uint64_t env_mem_calls(struct env *e)
{
    struct env_mem *m = mem_env(e);
    uint64_t calls;

    mem_lock(m);
    calls = m->calls;
    mem_unlock(m, 0);
    return calls;
}

void env_mem_stop_at(struct env *e, uint64_t n)
{
    mem_lock(mem_env(e));
    mem_env(e)->calls_left = n;
    mem_unlock(mem_env(e), 0);
}

void env_mem_watch(struct env *e, env_mem_watch_fn *fn, void *arg)
{
    mem_lock(mem_env(e));
    mem_env(e)->watch = fn;
    mem_env(e)->watch_arg = arg;
    mem_unlock(mem_env(e), 0);
}

void env_mem_fail_at(struct env *e, uint64_t n, int err, unsigned kinds,
                     enum env_mem_how how)
{
    struct env_mem *m = mem_env(e);

    mem_lock(m);
    m->fail_in = n;
    m->fail_err = err;
    m->fail_kinds = kinds;
    m->fail_how = how;
    mem_unlock(m, 0);
}

void env_mem_fail_only(struct env *e, const char *name)
{
    struct env_mem *m = mem_env(e);

    mem_lock(m);
    snprintf(m->fail_only, sizeof(m->fail_only), "%s", name ? name : "");
    mem_unlock(m, 0);
}

uint64_t env_mem_failures(struct env *e)
{
    struct env_mem *m = mem_env(e);
    uint64_t failures;

    mem_lock(m);
    failures = m->failures;
    mem_unlock(m, 0);
    return failures;
}

void env_mem_set_space(struct env *e, uint64_t bytes)
{
    mem_lock(mem_env(e));
    mem_env(e)->space = bytes;
    mem_unlock(mem_env(e), 0);
}

uint64_t env_mem_used(struct env *e)
{
    uint64_t used;

    mem_lock(mem_env(e));
    used = mem_tree_used(&mem_env(e)->tree);
    mem_unlock(mem_env(e), 0);
    return used;
}

unsigned env_mem_open_files(struct env *e)
{
    unsigned n;

    mem_lock(mem_env(e));
    n = mem_env(e)->open_files;
    mem_unlock(mem_env(e), 0);
    return n;
}

int env_mem_flip(struct env *e, const char *path, uint64_t off, uint8_t mask)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir, *node;
    const char *name;
    uint8_t byte;
    int rc;

    mem_lock(m);
    rc = mem_find_locked(m, path, &dir, &name, &node);
    if (rc == 0 && off >= node->data.size)
        rc = -EINVAL;
    if (rc)
        return mem_unlock(m, rc);
    mem_data_read(&node->data, off, &byte, 1);
    byte ^= mask;
    mem_data_poke(&node->data, off, &byte, 1);
    return mem_unlock(m, 0);
}

int env_mem_read(struct env *e, const char *path, struct buf *to)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir, *node;
    const char *name;
    int rc;

    buf_clear(to);
    mem_lock(m);
    rc = mem_find_locked(m, path, &dir, &name, &node);
    if (rc)
        return mem_unlock(m, rc);
    if (!buf_reserve(to, (size_t)node->data.size))
        return mem_unlock(m, -ENOMEM);
    to->len = (size_t)node->data.size;
    mem_data_read(&node->data, 0, to->data, to->len);
    return mem_unlock(m, 0);
}

int env_mem_write(struct env *e, const char *path, struct slice content)
{
    struct env_mem *m = mem_env(e);
    struct mem_node *dir = NULL, *node;
    const char *name;
    int rc;

    mem_lock(m);
    rc = mem_find_locked(m, path, &dir, &name, &node);
    if (rc && (rc != -ENOENT || !dir))
        return mem_unlock(m, rc);
    if (rc)
        node = mem_tree_make(&m->tree, dir, name, false);
    mem_tree_sync(&m->tree, dir);
    mem_data_release(&node->data);
    mem_data_poke(&node->data, 0, content.data, content.len);
    return mem_unlock(m, 0);
}
