/*
 * flips_engine.c - see flips.h: a store of the engine, and what it should hold.
 *
 * The truth is a table of moments: which version each key had after each write. What a
 * look reads narrows the moments that it can be of; none left means wrong data.
 */
#include "tests/flips.h"

#include <stdlib.h>

enum { KEYS = 300, VERSIONS = 8, MOMENTS = 64, KEY_BYTES = 16 };

struct truth {
    struct buf value[KEYS][VERSIONS]; /* version 0: there is no such key */
    uint8_t at[MOMENTS][KEYS];
    int n;    /* moments */
    int told; /* the earliest that may be found when a byte is damaged, */
    int edit; /* and when the end of a log is */
    uint64_t rng;
};

static struct slice key_of(int i, char to[KEY_BYTES])
{
    snprintf(to, KEY_BYTES, "key%04d", i);
    return slice_str(to);
}

static int key_number(struct slice key)
{
    return key.len == 7 ? atoi((const char *)key.data + 3) : -1;
}

/* ---- writing, and noting it ---- */

struct maker {
    struct victim *v;
    struct truth *t;
    struct lsm *db;
};

/* What was written is a moment of its own. */
static uint8_t *next_moment(struct truth *t)
{
    ck_assert_int_lt(t->n, MOMENTS);
    memcpy(t->at[t->n], t->at[t->n - 1], KEYS);
    return t->at[t->n++];
}

/* Some look alike, for dictionaries; every fifth is large, and some of those do not
 * compress; one has several frames. */
static void make_value(struct truth *t, int i, struct buf *to)
{
    size_t len = i % 5 ? 0 : i == 50 ? 40000 : 700;
    char text[200];

    buf_clear(to);
    snprintf(text, sizeof(text),
             "owner=%u permissions=0%o modified=yesterday at %02u:%02u by %lx",
             (unsigned)test_below(&t->rng, 9), (unsigned)test_below(&t->rng, 0777),
             (unsigned)test_below(&t->rng, 24), (unsigned)test_below(&t->rng, 60),
             (unsigned long)test_random(&t->rng));
    do {
        if (i % 10 == 5)
            store_le64((uint8_t *)text, test_random(&t->rng));
        buf_append(to, text, i % 10 == 5 ? 64 : strlen(text));
    } while (to->len < len);
}

static uint8_t add_version(struct truth *t, int i, struct slice value)
{
    uint8_t version = 1;

    while (t->value[i][version].len)
        version++;
    ck_assert_int_lt(version, VERSIONS);
    buf_append_slice(&t->value[i][version], value);
    return version;
}

static void put(struct maker *m, int from, int to, int step)
{
    struct lsm_batch *b = lsm_batch_new();
    uint8_t *now = next_moment(m->t);
    struct buf value = {0};
    char key[KEY_BYTES];

    for (; from < to; from += step) {
        make_value(m->t, from, &value);
        lsm_batch_put(b, key_of(from, key), buf_slice(&value));
        now[from] = add_version(m->t, from, buf_slice(&value));
    }
    ck_ok(lsm_write(m->db, b, LSM_NOSYNC));
    lsm_batch_free(b);
    buf_release(&value);
}

static void delete_keys(struct maker *m, int from, int to, bool range)
{
    struct lsm_batch *b = lsm_batch_new();
    uint8_t *now = next_moment(m->t);
    char key[KEY_BYTES], end[KEY_BYTES];

    if (range)
        lsm_batch_delete_range(b, key_of(from, key), key_of(to, end));
    for (; from < to; from++) {
        if (!range)
            lsm_batch_delete(b, key_of(from, key));
        now[from] = 0;
    }
    ck_ok(lsm_write(m->db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

static void share(struct maker *m, int to, int from, size_t off, size_t len)
{
    struct lsm_batch *b = lsm_batch_new();
    uint8_t *now = next_moment(m->t);
    char key[KEY_BYTES], src[KEY_BYTES];
    const struct buf *whole = &m->t->value[from][now[from]];

    lsm_batch_share(b, key_of(to, key), key_of(from, src), off, len);
    now[to] = add_version(m->t, to, slice_of(whole->data + off, len));
    ck_ok(lsm_write(m->db, b, LSM_NOSYNC));
    lsm_batch_free(b);
}

/* ---- the stores ---- */

void flips_options(struct lsm_options *o, struct env *env)
{
    unsigned level;

    lsm_options_init(o);
    o->env = env;
    o->memory_bytes = 2 << 20;
    o->memtable_bytes = 32 << 10;
    o->block_bytes = 1024;
    o->table_bytes = 12 << 10;
    o->l1_bytes = 4 << 10;
    o->level_ratio = 4;
    o->l0_trigger = 3;
    o->segment_bytes = 16 << 10;
    o->separate_bytes = 512;
    o->dictionary_bytes = 1024;
    for (level = 0; level < LSM_LEVELS; level++)
        o->compression[level] = level < 2 ? LSM_LZ4 : LSM_ZSTD;
    o->workers = 0;
    o->sync_interval_ms = 0;
    o->verify_bytes = 0; /* opening does not look at all there is */
}

static void older(struct maker *m)
{
    victim_note_older(m->v, m->v->env);
}

/* A bottom with dictionaries, tables above it, one in L0 that hides some of it. */
static void make_tables(struct maker *m)
{
    put(m, 0, 300, 1);
    older(m);
    ck_ok(lsm_compact(m->db, true));
    older(m);
    put(m, 40, 90, 1);
    ck_ok(lsm_flush(m->db));
    put(m, 80, 120, 2);
    delete_keys(m, 100, 110, false);
    ck_ok(lsm_flush(m->db));
    older(m);
    delete_keys(m, 120, 130, true);
    put(m, 121, 126, 3);
    ck_ok(lsm_flush(m->db));
    ck_ok(lsm_compact(m->db, false));
    older(m);
    share(m, 131, 50, 20000, 9000);
    share(m, 132, 55, 64, 600);
    ck_ok(lsm_flush(m->db));
    put(m, 10, 30, 1);
    delete_keys(m, 200, 230, true);
    ck_ok(lsm_flush(m->db));
    m->t->edit = m->t->n - 1;
    older(m);
}

/* Two logs, the second recycled, in them values in segments, and the last frames
 * synced by none that follow. */
static void make_logs(struct maker *m)
{
    put(m, 60, 70, 1);
    older(m);
    ck_ok(lsm_sync(m->db));
    put(m, 230, 240, 1);
    older(m);
    ck_ok(lsm_checkpoint(m->db, "/aside"));
    put(m, 240, 250, 1);
    ck_ok(lsm_sync(m->db));
    delete_keys(m, 250, 255, true);
    m->t->told = m->t->n - 1;
    ck_ok(lsm_sync(m->db));
    put(m, 255, 256, 1); /* tells that what is before it was synced */
    older(m);
    put(m, 260, 266, 1);
    ck_ok(lsm_sync(m->db));
}

/* ---- looking ---- */

struct look {
    struct victim *v;
    struct truth *t;
    struct lsm *db;
    uint64_t moments; /* that what was read can be of, a bit each */
    int err;          /* the first */
    bool wrong;
};

static void note_err(struct look *l, int rc)
{
    /* What a reader gets is one of these, never a "no such key" of its own making. */
    if (rc != -EUCLEAN && rc != -EIO) {
        fprintf(stderr, "  error %d (%s)\n", rc, strerror(-rc));
        l->wrong = true;
    }
    if (!l->err)
        l->err = rc;
}

/* Key i was read as this; NULL: as missing. off: it is a part of the value. */
static void saw(struct look *l, int i, const struct slice *value, size_t off,
                const char *how)
{
    struct truth *t = l->t;
    uint64_t fit = 0;
    int m;

    for (m = 0; m < t->n; m++) {
        int version = t->at[m][i];
        struct slice want = buf_slice(&t->value[i][version]);

        if (!(l->moments >> m & 1) || !version != !value)
            continue;
        if (version && (off > want.len || value->len > want.len - off ||
                        (!off && value->len != want.len) ||
                        memcmp(value->data, want.data + off, value->len) != 0))
            continue;
        fit |= 1ull << m;
    }
    if (!fit) {
        fprintf(stderr, "  key %d by %s: %s (%zu bytes)\n", i, how,
                value ? "wrong" : "missing", value ? value->len : 0);
        l->wrong = true;
    } else {
        l->moments = fit;
    }
}

static void look_by_get(struct look *l)
{
    struct lsm_value v = {0};
    char key[KEY_BYTES];
    int i;

    for (i = 0; i < KEYS; i++) {
        int rc = lsm_get(l->db, NULL, key_of(i, key), &v);

        if (rc && rc != -ENOENT)
            note_err(l, rc);
        else
            saw(l, i, rc ? NULL : &v.value, 0, "get");
        rc = lsm_exists(l->db, NULL, key_of(i, key));
        if (rc && rc != -ENOENT)
            note_err(l, rc);
        else if (rc)
            saw(l, i, NULL, 0, "exists");
    }
    lsm_value_release(&v);
}

static void look_at_value(struct look *l, struct lsm_iter *it, int i, const char *how)
{
    struct slice value;
    uint8_t part[64];
    int rc = lsm_iter_value(it, &value);

    if (rc)
        note_err(l, rc);
    else
        saw(l, i, &value, 0, how);
    if (lsm_iter_value_len(it) <= 20000)
        return;
    rc = lsm_iter_read(it, 17000, sizeof(part), part);
    value = slice_of(part, sizeof(part));
    if (rc)
        note_err(l, rc);
    else
        saw(l, i, &value, 17000, how);
}

/* Where an iterator stops with an error nothing more is said; until there no key may
 * be left out. */
static void look_by_scan(struct look *l, bool back, int from)
{
    const char *how = back ? "scan back" : "scan";
    struct lsm_iter *it;
    char key[KEY_BYTES];
    int at = from, rc = lsm_iter_new(l->db, &(struct lsm_iter_options){0}, &it);

    if (rc) {
        note_err(l, rc);
        return;
    }
    if (back)
        lsm_iter_seek_prev(it, key_of(from, key));
    else
        lsm_iter_seek(it, key_of(from, key));
    for (; lsm_iter_valid(it) && !l->wrong;
         back ? lsm_iter_prev(it) : lsm_iter_next(it)) {
        int i = key_number(lsm_iter_key(it));

        if (i < 0 || i >= KEYS || (back ? i > at : i < at)) {
            fprintf(stderr, "  a key that was never there\n");
            l->wrong = true;
            break;
        }
        for (; at != i; at += back ? -1 : 1)
            saw(l, at, NULL, 0, how);
        look_at_value(l, it, i, how);
        at += back ? -1 : 1;
    }
    rc = lsm_iter_error(it);
    if (rc)
        note_err(l, rc);
    for (; !rc && !l->wrong && at >= 0 && at < KEYS; at += back ? -1 : 1)
        saw(l, at, NULL, 0, how);
    lsm_iter_free(it);
}

static void look_at_all(struct look *l)
{
    l->err = 0;
    look_by_get(l);
    look_by_scan(l, false, 0);
    look_by_scan(l, false, 160);
    look_by_scan(l, true, KEYS - 1);
    look_by_scan(l, true, 160);
}

/* What an error of open must be: known, and with a reason. */
static bool refused_well(int rc)
{
    if (rc != -EUCLEAN && rc != -EPROTONOSUPPORT && rc != -EINVAL) {
        fprintf(stderr, "  refused with %d (%s)\n", rc, strerror(-rc));
        return false;
    }
    if (!flips_logged()) {
        fprintf(stderr, "  refused with %d, and no reason given\n", rc);
        return false;
    }
    return true;
}

static bool look_read_only(struct look *l, enum verdict *out)
{
    int scrub;

    look_at_all(l);
    if (l->err && !flips_logged()) {
        fprintf(stderr, "  an error that nothing was logged of\n");
        l->wrong = true;
    }
    scrub = lsm_verify(l->db);
    if (l->err && !scrub) {
        fprintf(stderr, "  reading finds what verifying does not\n");
        l->wrong = true;
    }
    if (scrub && !flips_logged()) {
        fprintf(stderr, "  verifying finds something and does not tell what\n");
        l->wrong = true;
    }
    ck_ok(lsm_close(l->db));
    *out = l->err                            ? FOUND_AT_READ
           : scrub                           ? FOUND_BY_SCRUB
           : l->moments >> (l->t->n - 1) & 1 ? HARMLESS
                                             : AN_EARLIER_MOMENT;
    return !l->wrong;
}

/* Compactions may fail, but not turn damage into something that looks well. */
static bool look_and_write(struct look *l, const struct lsm_options *o)
{
    int before, rc;

    look_at_all(l);
    before = l->err;
    rc = lsm_compact(l->db, true);
    if (rc)
        note_err(l, rc);
    look_at_all(l);
    if (before && !l->err && !l->wrong) {
        fprintf(stderr, "  a compaction took damage away without a word\n");
        l->wrong = true;
    }
    lsm_close(l->db); /* may tell of the damage, too */
    if (l->wrong)
        return false;
    rc = lsm_open(l->v->dir, o, &l->db);
    if (rc)
        return refused_well(rc);
    look_at_all(l);
    lsm_close(l->db);
    return !l->wrong;
}

static bool look_engine(struct victim *v, struct env *env, enum damage_kind kind,
                        bool write, enum verdict *out)
{
    bool local = kind == DAMAGE_FLIP; /* others may hit what would have told of them */
    struct truth *t = v->truth;
    struct look l = {.v = v, .t = t};
    struct lsm_options o;
    int rc;

    l.moments = UINT64_MAX << (local ? t->told : t->edit);
    flips_options(&o, env);
    o.read_only = !write;
    o.create = write;
    rc = lsm_open(v->dir, &o, &l.db);
    *out = FOUND_AT_OPEN;
    if (rc)
        return refused_well(rc);
    return write ? look_and_write(&l, &o) : look_read_only(&l, out);
}

static void free_truth(void *truth)
{
    struct truth *t = truth;
    int i, version;

    for (i = 0; i < KEYS; i++)
        for (version = 0; version < VERSIONS; version++)
            buf_release(&t->value[i][version]);
    free(t);
}

/* As the death of the process leaves it. */
static void die(struct maker *m)
{
    struct env *after = env_mem_crash_clone(m->v->env, 1, ENV_MEM_KEEP_ALL);

    ck_ok(lsm_close(m->db));
    env_mem_free(m->v->env);
    m->v->env = after;
}

struct victim *victim_engine(enum store_state state, uint64_t seed)
{
    static const char *const names[] = {"closed", "died", "recovered", "checkpoint"};
    struct victim *v = calloc(1, sizeof(*v));
    struct truth *t = calloc(1, sizeof(*t));
    struct maker m = {v, t, NULL};
    struct lsm_options o;

    v->name = names[state];
    v->dir = "/s";
    v->env = env_mem_new(seed);
    v->look = look_engine;
    v->truth = t;
    v->free_truth = free_truth;
    t->n = 1;
    t->rng = seed | 1;
    flips_options(&o, v->env);
    o.create = true;
    ck_ok(lsm_open(v->dir, &o, &m.db));
    make_tables(&m);
    make_logs(&m);
    if (state == STORE_CHECKPOINT) {
        ck_ok(lsm_checkpoint(m.db, "/copy"));
        v->dir = "/copy";
        v->n_older = 0; /* of that directory there is none */
    }
    if (state != STORE_DIED)
        t->told = t->edit = t->n - 1;
    if (state == STORE_CLOSED)
        ck_ok(lsm_close(m.db));
    if (state != STORE_CLOSED)
        die(&m);
    if (state == STORE_RECOVERED) {
        flips_options(&o, v->env);
        ck_ok(lsm_open(v->dir, &o, &m.db));
        die(&m);
    }
    victim_note_files(v);
    return v;
}
