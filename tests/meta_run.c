/*
 * meta_run.c - see meta.h: operations done to a store.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <xxhash.h>

#include "tests/meta.h"
#include "tests/options_draw.h"

enum {
    KEYS = 300,
    SNAPSHOTS = 3,
    ITERS = 5,
    TXNS = 3,
    VALUE_MAX = 12000,
    KEY_ROOM = 700
};

struct run {
    const struct meta_setup *setup;
    struct transcript *t;
    struct lsm_options o;
    struct lsm *db;
    unsigned opened, checkpoints;
    uint64_t rng; /* of the operation under way */
    struct lsm_snapshot *snapshot[SNAPSHOTS];
    struct lsm_iter *iter[ITERS];
    struct lsm_txn *txn[TXNS];
};

static unsigned below(struct run *r, unsigned n)
{
    return (unsigned)test_below(&r->rng, n);
}

static void say(struct run *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct run *r, const char *format, ...)
{
    char line[256];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    buf_append(&r->t->text, line, (size_t)n);
}

/* Short when the bytes are long. */
static void say_bytes(struct run *r, struct slice s)
{
    say(r, " [%.*s", s.len < 12 ? (int)s.len : 12, (const char *)s.data);
    if (s.len > 12)
        say(r, "... %zu bytes %08x", s.len, (unsigned)XXH3_64bits(s.data, s.len));
    say(r, "]");
}

/* ---- keys and values ---- */

/* Neighbours in order; some are long, one is empty, some begin with 0xff. */
static struct slice key_of(unsigned i, uint8_t to[KEY_ROOM])
{
    int n = i == 0
                ? 0
                : snprintf((char *)to, KEY_ROOM, "%s%04u", i < 290 ? "k" : "\xff\xff", i);

    if (i % 23 == 5) {
        memset(to + n, 'y', 600);
        n += 600;
    }
    return slice_of(to, (size_t)n);
}

static struct slice any_key(struct run *r, uint8_t to[KEY_ROOM])
{
    return key_of(below(r, KEYS), to);
}

/* Text and noise; some of it goes to the value log. */
static struct slice any_value(struct run *r, uint8_t to[VALUE_MAX])
{
    static const unsigned most[] = {20, 100, 100, 700, 700, VALUE_MAX};
    uint64_t x = test_random(&r->rng) | 1;
    unsigned len = below(r, most[below(r, 6)]), i;
    bool text = below(r, 2);

    for (i = 0; i < len; i++)
        to[i] = text && i % 32 > 4 ? 'a' + (uint8_t)(i % 7) : (uint8_t)test_random(&x);
    return slice_of(to, len);
}

/* ---- opening and closing ---- */

static void open_store(struct run *r)
{
    uint64_t seed = r->setup->options_seed + (r->setup->redraw ? r->opened * 7919 : 0);

    options_draw(&r->o, seed, r->setup->how);
    r->o.env = r->setup->env;
    r->opened++;
    ck_ok(lsm_open(r->setup->path, &r->o, &r->db));
}

static void close_store(struct run *r)
{
    unsigned i;

    for (i = 0; i < ITERS; i++)
        lsm_iter_free(r->iter[i]);
    for (i = 0; i < TXNS; i++)
        lsm_txn_free(r->txn[i]);
    for (i = 0; i < SNAPSHOTS; i++)
        if (r->snapshot[i])
            lsm_snapshot_free(r->db, r->snapshot[i]);
    memset(r->iter, 0, sizeof(r->iter));
    memset(r->txn, 0, sizeof(r->txn));
    memset(r->snapshot, 0, sizeof(r->snapshot));
    ck_ok(lsm_close(r->db));
}

/* ---- reading ---- */

static void say_got(struct run *r, int rc, struct lsm_value *v)
{
    say(r, " %d", rc);
    if (!rc)
        say_bytes(r, v->value);
    lsm_value_release(v);
}

static void get(struct run *r)
{
    struct lsm_snapshot *snap = below(r, 3) ? NULL : r->snapshot[below(r, SNAPSHOTS)];
    struct lsm_value v = {0};
    uint8_t k[KEY_ROOM];
    struct slice key = any_key(r, k);

    say_bytes(r, key);
    say_got(r, lsm_get(r->db, snap, key, &v), &v);
    say(r, " %d", lsm_exists(r->db, snap, key));
}

static void say_at(struct run *r, struct lsm_iter *it)
{
    struct slice v;
    int rc;

    if (!lsm_iter_valid(it)) {
        say(r, " end %d", lsm_iter_error(it));
        return;
    }
    say_bytes(r, lsm_iter_key(it));
    say(r, "%zu", lsm_iter_value_len(it));
    if (below(r, 3) == 0) {
        rc = lsm_iter_value(it, &v);
        say(r, " %d", rc);
        if (!rc)
            say_bytes(r, v);
    }
}

/* Part of the value. */
static void say_read(struct run *r, struct lsm_iter *it)
{
    static uint8_t part[VALUE_MAX];
    size_t len = lsm_iter_value_len(it);
    size_t off = below(r, (unsigned)len + 1), n = below(r, (unsigned)(len - off) + 1);
    int rc = lsm_iter_read(it, off, n, part);

    say(r, " part %d", rc);
    if (!rc)
        say_bytes(r, slice_of(part, n));
}

static void scan(struct run *r, struct lsm *db)
{
    struct lsm_iter *it;
    struct slice v;
    uint64_t hash = 0, n = 0, back = 0;

    ck_ok(lsm_iter_new(db, NULL, &it));
    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it), n++) {
        struct slice k = lsm_iter_key(it);

        hash = XXH3_64bits_withSeed(k.data, k.len, hash);
        ck_ok(lsm_iter_value(it, &v));
        hash = XXH3_64bits_withSeed(v.data, v.len, hash);
    }
    ck_ok(lsm_iter_error(it));
    for (lsm_iter_last(it); lsm_iter_valid(it); lsm_iter_prev(it))
        back++;
    ck_ok(lsm_iter_error(it));
    lsm_iter_free(it);
    say(r, " %llu entries %016llx, back %llu", (unsigned long long)n,
        (unsigned long long)hash, (unsigned long long)back);
}

static void open_iter(struct run *r)
{
    unsigned i = below(r, ITERS), of = below(r, 4);
    struct lsm_txn *txn = r->txn[below(r, TXNS)];
    uint8_t a[KEY_ROOM], b[KEY_ROOM];
    struct slice lower = any_key(r, a), upper = any_key(r, b);
    struct lsm_iter_options o = {0};
    int rc;

    o.lower = below(r, 2) ? &lower : NULL;
    o.upper = below(r, 2) ? &upper : NULL;
    if (of == 0)
        o.snap = r->snapshot[below(r, SNAPSHOTS)];
    lsm_iter_free(r->iter[i]);
    r->iter[i] = NULL;
    rc = of == 1 && txn ? lsm_txn_iter_new(txn, &o, &r->iter[i])
                        : lsm_iter_new(r->db, &o, &r->iter[i]);
    say(r, " %u: %d", i, rc);
}

static void move(struct run *r)
{
    struct lsm_iter *it = r->iter[below(r, ITERS)];
    unsigned how = below(r, 6), steps = below(r, below(r, 4) ? 6 : 60),
             forward = below(r, 2);
    uint8_t k[KEY_ROOM];
    struct slice key = any_key(r, k);

    if (!it) {
        say(r, " no iterator");
        return;
    }
    if (how == 0)
        lsm_iter_first(it);
    else if (how == 1)
        lsm_iter_last(it);
    else if (how == 2)
        lsm_iter_seek_prev(it, key);
    else if (how < 5 || !lsm_iter_valid(it))
        lsm_iter_seek(it, key);
    say_at(r, it);
    while (steps-- && lsm_iter_valid(it)) {
        if ((below(r, 8) == 0) != forward)
            lsm_iter_next(it);
        else
            lsm_iter_prev(it);
        say_at(r, it);
    }
    if (lsm_iter_valid(it))
        say_read(r, it);
}

static void snapshot(struct run *r)
{
    unsigned i = below(r, SNAPSHOTS);

    if (r->snapshot[i])
        lsm_snapshot_free(r->db, r->snapshot[i]);
    r->snapshot[i] = below(r, 3) ? lsm_snapshot_new(r->db) : NULL;
}

/* ---- writing ---- */

/* A part of a value that is there; -ENOENT for the batch when it is not. */
static void add_share(struct run *r, struct lsm_batch *b)
{
    uint8_t d[KEY_ROOM], s[KEY_ROOM];
    struct slice dst = any_key(r, d), src = any_key(r, s);
    struct lsm_value v = {0};
    uint64_t x = test_random(&r->rng) >> 1, y = test_random(&r->rng) >> 1;
    size_t len = 0, off;

    if (lsm_get(r->db, NULL, src, &v) == 0)
        len = v.value.len;
    else if (y % 8)
        return; /* seldom: the whole batch fails */
    off = x % (len + 1);
    lsm_batch_share(b, dst, src, off, y % (len - off + 1));
    lsm_value_release(&v);
}

static void add_op(struct run *r, struct lsm_batch *b)
{
    uint8_t k[KEY_ROOM], k2[KEY_ROOM], v[VALUE_MAX];
    struct slice key = any_key(r, k);

    switch (below(r, 12)) {
    case 0:
    case 1:
        lsm_batch_delete(b, key);
        break;
    case 2:
        if (below(r, 3) == 0)
            lsm_batch_delete_range(b, key, any_key(r, k2));
        break;
    case 3:
    case 4:
        add_share(r, b);
        break;
    default:
        lsm_batch_put(b, key, any_value(r, v));
    }
}

static void write_batch(struct run *r)
{
    struct lsm_batch *b = lsm_batch_new();
    enum lsm_durability d = below(r, 40) ? LSM_NOSYNC : LSM_SYNC;
    unsigned n = 1 + below(r, below(r, 10) ? 3 : 40);

    while (n--)
        add_op(r, b);
    say(r, " of %u: %d", lsm_batch_count(b), lsm_write(r->db, b, d));
    lsm_batch_free(b);
}

static void delete_run(struct run *r)
{
    unsigned i = below(r, KEYS), n = below(r, 150);
    uint8_t k[KEY_ROOM];

    for (; n-- && i < KEYS; i++)
        say(r, " %d", lsm_delete(r->db, key_of(i, k)));
}

/* ---- transactions ---- */

static void begin_txn(struct run *r)
{
    unsigned i = below(r, TXNS);

    lsm_txn_free(r->txn[i]);
    r->txn[i] = NULL;
    if (below(r, 8))
        say(r, " %d", lsm_txn_begin(r->db, &r->txn[i]));
}

static void txn_write(struct run *r)
{
    struct lsm_txn *txn = r->txn[below(r, TXNS)];
    uint8_t k[KEY_ROOM], k2[KEY_ROOM], v[VALUE_MAX];
    unsigned i = below(r, KEYS), how = below(r, 8);
    struct slice key = key_of(i, k), to = key_of((i + below(r, 40)) % KEYS, k2);

    if (!txn)
        say(r, " no transaction");
    else if (how == 0)
        say(r, " range %d", lsm_txn_delete_range(txn, key, to));
    else if (how < 3)
        say(r, " delete %d", lsm_txn_delete(txn, key));
    else
        say(r, " put %d", lsm_txn_put(txn, key, any_value(r, v)));
}

static void txn_get(struct run *r)
{
    struct lsm_txn *txn = r->txn[below(r, TXNS)];
    struct lsm_value v = {0};
    uint8_t k[KEY_ROOM];
    struct slice key = any_key(r, k);

    if (!txn) {
        say(r, " no transaction");
        return;
    }
    say_bytes(r, key);
    say_got(r, lsm_txn_get(txn, key, &v), &v);
    say(r, " %d", lsm_txn_exists(txn, key));
}

static void commit(struct run *r)
{
    unsigned i = below(r, TXNS);

    if (!r->txn[i]) {
        say(r, " no transaction");
        return;
    }
    say(r, " %d", lsm_txn_commit(r->txn[i], below(r, 4) ? LSM_NOSYNC : LSM_SYNC));
    lsm_txn_free(r->txn[i]);
    r->txn[i] = NULL;
}

/* ---- care ---- */

static void checkpoint(struct run *r)
{
    struct lsm_options o;
    struct lsm *copy;
    char path[300];

    snprintf(path, sizeof(path), "%s-c%u", r->setup->path, r->checkpoints++);
    say(r, " %d", lsm_checkpoint(r->db, path));
    options_draw(&o, r->setup->options_seed + r->checkpoints, r->setup->how);
    o.env = r->setup->env;
    ck_ok(lsm_open(path, &o, &copy));
    scan(r, copy);
    ck_ok(lsm_close(copy));
}

static void do_op(struct run *r, const struct meta_op *op)
{
    static void (*const simple[META_KINDS])(struct run * r) = {
        [META_GET] = get,
        [META_WRITE] = write_batch,
        [META_DELETE_RUN] = delete_run,
        [META_SNAPSHOT] = snapshot,
        [META_ITER] = open_iter,
        [META_MOVE] = move,
        [META_BEGIN] = begin_txn,
        [META_TXN_WRITE] = txn_write,
        [META_TXN_GET] = txn_get,
        [META_COMMIT] = commit,
        [META_CHECKPOINT] = checkpoint,
    };

    r->rng = op->seed | 1;
    if (simple[op->kind])
        simple[op->kind](r);
    else if (op->kind == META_FLUSH)
        say(r, " %d", lsm_flush(r->db));
    else if (op->kind == META_COMPACT)
        say(r, " %d", lsm_compact(r->db, below(r, 2)));
    else if (op->kind == META_SCAN)
        scan(r, r->db);
    else if (op->kind == META_VERIFY)
        say(r, " %d", lsm_verify(r->db));
    else if (op->kind == META_REOPEN) {
        close_store(r);
        open_store(r);
    }
    say(r, "\n");
}

void meta_run(const struct meta_setup *setup, const struct meta_op *ops, unsigned n,
              struct transcript *t)
{
    struct meta_setup s = *setup;
    struct run r = {.setup = &s, .t = t};
    bool own = !s.env;
    unsigned i;

    if (own)
        s.env = env_mem_new(s.options_seed);
    *t = (struct transcript){.end = calloc(n + 1, sizeof(*t->end))};
    open_store(&r);
    for (i = 0; i < n; i++) {
        do_op(&r, &ops[i]);
        t->end[t->n++] = t->text.len;
    }
    scan(&r, r.db); /* the answer to the whole */
    t->end[t->n++] = t->text.len;
    ck_ok(lsm_verify(r.db));
    close_store(&r);
    if (own)
        env_mem_free(s.env);
}
