/*
 * cmd_kv.c - siltfs kv STORE: the engine by itself, from a shell.
 */
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "log.h"
#include "store.h"

enum { LOAD_BATCH = 1000 };

#define KV_FORMAT "kv-1" /* what it writes to; it reads any store */

struct kv {
    char path[PATH_MAX];
    struct lsm *db;
    struct why why;
};

/* ---- opening ---- */

static int open_store(struct kv *kv, bool write)
{
    struct lsm_options o;
    int err;

    lsm_options_init(&o);
    o.read_only = !write;
    o.create = write;
    o.format = write ? KV_FORMAT : NULL;
    err = store_open(kv->path, &o, &kv->db, &kv->why);
    if (!err)
        log_to_stderr();
    return err;
}

/* A store that holds a filesystem is not even opened for writing. */
static int open_to_write(struct kv *kv)
{
    int err;

    if (lsm_is_store(env_for(kv->path), kv->path)) {
        err = open_store(kv, false);
        if (err)
            return err;
        err = lsm_exists(kv->db, NULL, slice_str("Ssuper"));
        lsm_close(kv->db);
        if (err == 0)
            return why_set(&kv->why, -EPERM,
                           "%s: holds a filesystem; write to it by mounting it",
                           kv->path);
        if (err != -ENOENT)
            return store_why(kv->path, err, &kv->why);
    }
    return open_store(kv, true);
}

/* ---- the commands: 0 or -errno; why is told for the store as a whole ---- */

static int read_stdin(struct buf *b)
{
    uint8_t *to;
    ssize_t n;

    do {
        to = buf_reserve(b, 65536);
        if (!to)
            return -ENOMEM;
        n = read(STDIN_FILENO, to, 65536);
        if (n > 0)
            b->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? -errno : 0;
}

static int put(struct kv *kv, int argc, char **argv)
{
    struct buf from_stdin = {0};
    struct slice value = slice_str(argv[1]);
    int err = 0;

    if (strcmp(argv[1], "-") == 0) {
        err = read_stdin(&from_stdin);
        value = buf_slice(&from_stdin);
    }
    if (!err)
        err = lsm_put(kv->db, slice_str(argv[0]), value);
    buf_release(&from_stdin);
    return err;
}

static int get(struct kv *kv, int argc, char **argv)
{
    struct lsm_value v = {0};
    int err = lsm_get(kv->db, NULL, slice_str(argv[0]), &v);

    if (err == -ENOENT)
        return why_set(&kv->why, err, "%s: no such key: %s", kv->path, argv[0]);
    if (!err) {
        fwrite(v.value.data, 1, v.value.len, stdout);
        putchar('\n');
    }
    lsm_value_release(&v);
    return err;
}

static int remove_key(struct kv *kv, int argc, char **argv)
{
    return lsm_delete(kv->db, slice_str(argv[0]));
}

static int scan(struct kv *kv, int argc, char **argv)
{
    struct slice from = slice_str(argc > 0 ? argv[0] : ""), key, value;
    struct slice to = slice_str(argc > 1 ? argv[1] : "");
    struct lsm_iter_options o = {.lower = &from, .upper = argc > 1 ? &to : NULL};
    struct lsm_iter *it;
    int err = lsm_iter_new(kv->db, &o, &it);

    if (err)
        return err;
    for (lsm_iter_first(it); !err && lsm_iter_valid(it); lsm_iter_next(it)) {
        err = lsm_iter_value(it, &value);
        if (err)
            break;
        key = lsm_iter_key(it);
        fwrite(key.data, 1, key.len, stdout);
        putchar('\t');
        fwrite(value.data, 1, value.len, stdout);
        putchar('\n');
    }
    if (!err)
        err = lsm_iter_error(it);
    lsm_iter_free(it);
    return err;
}

static int load_line(struct kv *kv, struct lsm_batch *b, char *line, size_t len)
{
    char *tab = memchr(line, '\t', len);

    if (len && line[len - 1] == '\n')
        len--;
    if (!tab)
        return why_set(&kv->why, -EINVAL, "a line without a tab: %.*s", (int)len, line);
    lsm_batch_put(b, slice_of(line, (size_t)(tab - line)),
                  slice_of(tab + 1, (size_t)(line + len - tab - 1)));
    if (lsm_batch_count(b) < LOAD_BATCH)
        return 0;
    int err = lsm_write(kv->db, b, LSM_NOSYNC);

    lsm_batch_clear(b);
    return err;
}

static int load(struct kv *kv, int argc, char **argv)
{
    struct lsm_batch *b = lsm_batch_new();
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int err = b ? 0 : -ENOMEM;

    while (!err && (len = getline(&line, &cap, stdin)) >= 0)
        err = load_line(kv, b, line, (size_t)len);
    if (!err && ferror(stdin))
        err = -EIO;
    if (!err && lsm_batch_count(b))
        err = lsm_write(kv->db, b, LSM_NOSYNC);
    lsm_batch_free(b);
    free(line);
    return err;
}

/* ---- choosing ---- */

static const struct kv_command {
    const char *name;
    int least, most; /* arguments */
    bool writes;
    int (*run)(struct kv *kv, int argc, char **argv);
} commands[] = {
    {"put", 2, 2, true, put},           {"get", 1, 1, false, get},
    {"delete", 1, 1, true, remove_key}, {"scan", 0, 2, false, scan},
    {"load", 0, 0, true, load},
};

static const struct kv_command *find(const char *name, int arguments)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const struct kv_command *c = &commands[i];

        if (strcmp(c->name, name) == 0 && arguments >= c->least && arguments <= c->most)
            return c;
    }
    return NULL;
}

static int run(struct kv *kv, const struct kv_command *c, int argc, char **argv)
{
    int err, close_err;

    err = c->writes ? open_to_write(kv) : open_store(kv, false);
    if (err)
        return err;
    why_set(&kv->why, 0, "%s", "");
    err = c->run(kv, argc, argv);
    close_err = lsm_close(kv->db);
    if (!err)
        err = close_err;
    if (!err && fflush(stdout) != 0)
        err = -errno;
    if (err && !kv->why.text[0])
        why_set(&kv->why, err, "%s: %s failed: %s", kv->path, c->name, strerror(-err));
    return err;
}

int cmd_kv(int argc, char **argv)
{
    const struct kv_command *c = argc >= 3 ? find(argv[2], argc - 3) : NULL;
    static struct kv kv;
    int err;

    if (!c)
        return usage("kv");
    err = c->writes ? store_resolve_new(argv[1], kv.path, &kv.why)
                    : store_resolve(argv[1], kv.path, &kv.why);
    if (!err)
        err = run(&kv, c, argc - 3, argv + 3);
    return err ? fail("%s", kv.why.text) : 0;
}
