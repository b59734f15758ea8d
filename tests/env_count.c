/*
 * env_count.c - see env_count.h.
 */
#include "tests/env_count.h"

#include <stdio.h>
#include <stdlib.h>

#include "lsm/hash.h"

struct count_file {
    struct env_file base;
    struct env_count *e;
    struct env_file *to;
    uint64_t path; /* hash */
    bool counts;
};

static struct env *to(struct env *e)
{
    return ((struct env_count *)e)->to;
}

static struct count_file *count_file(struct env_file *f)
{
    return (struct count_file *)f;
}

static int count_pread(struct env_file *file, uint64_t off, void *at, size_t len,
                       size_t *got)
{
    struct count_file *f = count_file(file);
    int rc;

    if (!f->counts)
        return env_file_pread(f->to, off, at, len, got);
    atomic_fetch_add(&f->e->preads, 1);
    if (f->e->delay_ns)
        env_sleep_ns(f->e->to, f->e->delay_ns);
    *got = 0;
    if (f->e->error)
        return f->e->error;
    rc = env_file_pread(f->to, off, at, len, got);
    atomic_fetch_add(&f->e->bytes, *got);
    for (size_t i = 0; f->e->garbles && i < *got; i++)
        ((uint8_t *)at)[i] ^= 1;
    return rc;
}

static int count_append(struct env_file *f, const struct slice *parts, unsigned n)
{
    return env_file_append(count_file(f)->to, parts, n);
}

static int count_sync(struct env_file *f)
{
    return env_file_sync(count_file(f)->to);
}

static int count_truncate(struct env_file *f, uint64_t size)
{
    return env_file_truncate(count_file(f)->to, size);
}

static int count_size(struct env_file *f, uint64_t *size)
{
    return env_file_size(count_file(f)->to, size);
}

static void count_readahead(struct env_file *file, uint64_t off, size_t len)
{
    struct count_file *f = count_file(file);

    if (f->counts)
        atomic_fetch_add(&f->e->readaheads, 1);
    env_file_readahead(f->to, off, len);
}

static void count_writeback(struct env_file *f, uint64_t off, size_t len)
{
    atomic_fetch_add(&count_file(f)->e->writebacks, 1);
    if (count_file(f)->e->writes_back)
        count_file(f)->e->writes_back();
    env_file_writeback(count_file(f)->to, off, len);
}

static uint64_t count_next_data(struct env_file *f, uint64_t off)
{
    return env_file_next_data(count_file(f)->to, off);
}

static void count_forget(struct env_file *f, uint64_t off, size_t len)
{
    env_file_forget(count_file(f)->to, off, len);
}

static void count_often_synced(struct env_file *f, bool often)
{
    env_file_often_synced(count_file(f)->to, often);
}

static bool count_in_small_pieces(struct env_file *f)
{
    return env_file_in_small_pieces(count_file(f)->to);
}

static int count_identity(struct env_file *file, uint8_t id[ENV_IDENTITY])
{
    struct count_file *f = count_file(file);

    if (!f->e->knows_created)
        return env_file_identity(f->to, id);
    memset(id, 0, ENV_IDENTITY);
    memcpy(id, &f->path, sizeof(f->path));
    return 0;
}

static int count_close(struct env_file *file)
{
    struct count_file *f = count_file(file);
    int rc = env_file_close(f->to);

    free(f);
    return rc;
}

static int count_open(struct env *e, const char *path, enum env_mode mode,
                      uint64_t preallocate, struct env_file **out)
{
    static const struct env_file_ops ops = {
        .pread = count_pread,
        .append = count_append,
        .sync = count_sync,
        .truncate = count_truncate,
        .size = count_size,
        .readahead = count_readahead,
        .writeback = count_writeback,
        .next_data = count_next_data,
        .forget = count_forget,
        .often_synced = count_often_synced,
        .in_small_pieces = count_in_small_pieces,
        .identity = count_identity,
        .close = count_close,
    };
    struct count_file *f = calloc(1, sizeof(*f));
    int rc = f ? env_open(to(e), path, mode, preallocate, &f->to) : -ENOMEM;

    if (rc) {
        free(f);
        return rc;
    }
    f->base.ops = &ops;
    f->e = (struct env_count *)e;
    f->path = hash_bytes(path, strlen(path), 0);
    f->counts = strstr(path, ".sst") || strstr(path, ".vlog");
    *out = &f->base;
    return 0;
}

static int count_rename(struct env *e, const char *from, const char *dest)
{
    return env_rename(to(e), from, dest);
}

static int count_unlink(struct env *e, const char *path)
{
    return env_unlink(to(e), path);
}

static int count_link(struct env *e, const char *from, const char *dest)
{
    return env_link(to(e), from, dest);
}

static int count_mkdir(struct env *e, const char *path)
{
    return env_mkdir(to(e), path);
}

static int count_rmdir(struct env *e, const char *path)
{
    return env_rmdir(to(e), path);
}

static int count_list(struct env *e, const char *path, env_list_fn *fn, void *arg)
{
    return env_list(to(e), path, fn, arg);
}

static int count_sync_dir(struct env *e, const char *path)
{
    return env_sync_dir(to(e), path);
}

static int count_stat(struct env *e, const char *path, uint64_t *size)
{
    return env_stat(to(e), path, size);
}

static int count_same(struct env *e, const char *a, const char *b)
{
    return env_same(to(e), a, b);
}

static int count_lock(struct env *e, const char *path, bool shared, struct env_lock **out)
{
    return env_lock(to(e), path, shared, out);
}

static void count_unlock(struct env *e, struct env_lock *l)
{
    env_unlock(to(e), l);
}

static int count_space(struct env *e, const char *path, uint64_t *total, uint64_t *avail)
{
    return env_space(to(e), path, total, avail);
}

static uint64_t count_now_ns(struct env *e)
{
    return env_now_ns(to(e));
}

static void count_sleep_ns(struct env *e, uint64_t ns)
{
    env_sleep_ns(to(e), ns);
}

static void count_background(struct env *e)
{
    env_background(to(e));
}

void env_count_init(struct env_count *e, struct env *under)
{
    static const struct env_ops ops = {
        .open = count_open,
        .rename = count_rename,
        .unlink = count_unlink,
        .link = count_link,
        .mkdir = count_mkdir,
        .rmdir = count_rmdir,
        .list = count_list,
        .sync_dir = count_sync_dir,
        .stat = count_stat,
        .same = count_same,
        .lock = count_lock,
        .unlock = count_unlock,
        .space = count_space,
        .now_ns = count_now_ns,
        .sleep_ns = count_sleep_ns,
        .background = count_background,
    };

    *e = (struct env_count){.base = *under, .to = under};
    e->base.ops = &ops;
}
