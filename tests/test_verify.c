/*
 * test_verify.c - lsm_verify_with: what it tells of damage, where it stops and goes on.
 * That it finds all damage: test_flips.c.
 */
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "env_mem.h"
#include "lsm/manifest.h"
#include "lsm/names.h"
#include "table_util.h"

enum { KEYS = 400, HEARD = 100 };

static struct env *env;
static struct lsm *db;

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "key%04d", i);
    return slice_str(to);
}

static void options(struct lsm_options *o)
{
    lsm_options_init(o);
    o->env = env;
    o->create = true;
    o->memtable_bytes = 64 << 10;
    o->table_bytes = 8 << 10;
    o->block_bytes = 512;
    o->l1_bytes = 1 << 20;
    o->l0_trigger = 100;
    o->separate_bytes = 512;
    o->workers = 0;
    o->sync_interval_ms = 0;
    o->verify_bytes = 0;
}

static void fill(int from, int to)
{
    uint64_t r = 7;
    char value[700], key[16];
    size_t at;

    for (; from < to; from++) {
        for (at = 0; at + 8 <= sizeof(value); at += 8)
            store_le64((uint8_t *)value + at, test_random(&r));
        ck_ok(lsm_put(db, key_of(from, key), slice_of(value, from % 10 ? 60 : 700)));
    }
}

static void begin(void)
{
    struct lsm_options o;

    test_log_capture();
    env = env_mem_new(1);
    options(&o);
    ck_ok(lsm_open("/s", &o, &db));
    fill(0, KEYS);
    ck_ok(lsm_compact(db, true));
}

static void end(void)
{
    lsm_close(db);
    env_mem_free(env);
}

/* ---- hearing ---- */

struct heard {
    unsigned n;
    struct lsm_damage d[HEARD];
    char first[HEARD][20], last[HEARD][20];
    unsigned progress;
    uint64_t done, total, position;
    unsigned stop_at; /* at that progress; 0: never */
};

static void hear(void *arg, const struct lsm_damage *d)
{
    struct heard *h = arg;

    ck_assert_uint_lt(h->n, HEARD);
    h->d[h->n] = *d;
    snprintf(h->first[h->n], 20, "%.*s", (int)d->first.len, (const char *)d->first.data);
    snprintf(h->last[h->n++], 20, "%.*s", (int)d->last.len, (const char *)d->last.data);
}

static int see(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    struct heard *h = arg;

    ck_assert(done >= h->done && position >= h->position);
    h->done = done;
    h->total = total;
    h->position = position;
    return ++h->progress == h->stop_at ? -ECANCELED : 0;
}

static int verify(struct heard *h, uint64_t after)
{
    struct lsm_verify_options o = {
        .damage = hear, .progress = see, .arg = h, .after = after};

    *h = (struct heard){.stop_at = h->stop_at, .position = after};
    return lsm_verify_with(db, &o);
}

/* The nth file of a kind; its number. */
struct finding {
    enum file_kind kind;
    int nth;
    uint64_t number;
};

static int find_one(void *arg, const char *name)
{
    struct finding *f = arg;
    uint64_t number;

    if (file_parse(name, &number) == f->kind && f->nth-- == 0)
        f->number = number;
    return 0;
}

static char *find(enum file_kind kind, int nth, uint64_t *number)
{
    struct finding f = {kind, nth, 0};

    ck_ok(env_list(env, "/s", find_one, &f));
    ck_assert_uint_ne(f.number, 0);
    if (number)
        *number = f.number;
    return file_path("/s", kind, f.number);
}

static uint64_t size_of(const char *path)
{
    uint64_t size;

    ck_ok(env_stat(env, path, &size));
    return size;
}

/* ---- the cases ---- */

START_TEST(of_a_sound_store_nothing_is_told)
{
    struct heard h = {0};

    begin();
    ck_ok(verify(&h, 0));
    ck_assert_uint_eq(h.n, 0);
    ck_assert_uint_gt(h.progress, 0);
    ck_assert_uint_eq(h.done, h.total);
    ck_assert_uint_gt(h.position, 0);
    end();
}
END_TEST

START_TEST(a_damaged_value_is_told_by_its_key)
{
    struct heard h = {0};
    uint64_t number;
    char *path, name[NAME_BYTES];

    begin();
    path = find(FILE_SEGMENT, 0, &number);
    ck_ok(env_mem_flip(env, path, 100, 1));
    ck_err(verify(&h, 0), EUCLEAN);
    ck_assert_uint_eq(h.n, 1);
    ck_assert_int_eq(h.d[0].lost, LSM_LOST_VALUE);
    ck_assert_int_eq(h.d[0].err, -EUCLEAN);
    ck_assert_str_eq(h.first[0], "key0000");
    ck_assert_str_eq(h.last[0], "key0000");
    ck_assert_uint_eq(h.d[0].offset, 0);
    file_name(name, FILE_SEGMENT, number);
    ck_assert_str_eq(h.d[0].file, name);
    free(path);
    end();
}
END_TEST

/* Where a get fails, the key is between those told, for every block of a table. */
START_TEST(a_damaged_block_is_told_by_the_keys_around)
{
    struct lsm_value v = {0};
    uint64_t size, off;
    char *path, key[16];

    begin();
    path = find(FILE_TABLE, 1, NULL);
    size = size_of(path);
    for (off = 100; off < size; off += 300) {
        struct heard h = {0};
        struct lsm_options o;
        unsigned lost = 0, i, k;

        ck_ok(lsm_close(db));
        ck_ok(env_mem_flip(env, path, off, 1));
        options(&o);
        o.create = false;
        o.read_only = true;
        ck_ok(lsm_open("/s", &o, &db));
        ck_err(verify(&h, 0), EUCLEAN);
        ck_assert_uint_gt(h.n, 0);
        for (i = 0; i < KEYS; i++) {
            int rc = lsm_get(db, NULL, key_of((int)i, key), &v);

            if (!rc)
                continue;
            ck_assert_int_eq(rc, -EUCLEAN);
            lost++;
            for (k = 0; k < h.n; k++)
                if (h.d[k].lost == LSM_LOST_RANGE && strcmp(h.first[k], key) <= 0 &&
                    strcmp(key, h.last[k]) <= 0)
                    break;
            ck_assert_msg(k < h.n, "%s is lost, and not told", key);
        }
        ck_assert(lost || h.d[0].lost == LSM_LOST_NOTHING);
        ck_ok(lsm_close(db));
        ck_ok(env_mem_flip(env, path, off, 1));
        o.read_only = false;
        ck_ok(lsm_open("/s", &o, &db));
    }
    lsm_value_release(&v);
    free(path);
    end();
}
END_TEST

START_TEST(it_goes_on_from_where_it_stopped)
{
    struct heard all = {0}, some = {.stop_at = 1}, rest = {0};
    uint64_t number;
    char *path;

    begin();
    path = find(FILE_TABLE, 2, &number);
    ck_ok(env_mem_flip(env, path, 50, 1));
    ck_err(verify(&all, 0), EUCLEAN);
    ck_assert_uint_eq(all.n, 1);
    /* After that table nothing is wrong, before it there is. */
    ck_ok(verify(&rest, number));
    ck_assert_uint_lt(rest.done, all.done);
    ck_err(verify(&rest, number - 1), EUCLEAN);
    ck_err(verify(&some, 0), ECANCELED);
    free(path);
    end();
}
END_TEST

START_TEST(a_disk_that_cannot_read_is_damage_too)
{
    struct heard h = {0};

    begin();
    env_mem_fail_at(env, 3, EIO, ENV_MEM_READ, ENV_MEM_ONCE);
    ck_err(verify(&h, 0), EIO);
    ck_assert_uint_eq(h.n, 1);
    ck_assert_int_eq(h.d[0].err, -EIO);
    ck_ok(verify(&h, 0));
    end();
}
END_TEST

static void *keep_writing(void *arg)
{
    _Atomic bool *over = arg;

    while (!atomic_load(over)) {
        fill(0, KEYS);
        ck_ok(lsm_compact(db, true));
    }
    return NULL;
}

/* And tables and segments go, which those under way are still to be found in. */
START_TEST(writing_and_collecting_go_on_meanwhile)
{
    _Atomic bool over = false;
    struct lsm_options o;
    pthread_t writer;
    struct heard h = {0};
    int i;

    begin();
    ck_ok(lsm_close(db));
    options(&o);
    o.workers = 1;
    o.segment_bytes = 4 << 10;
    ck_ok(lsm_open("/s", &o, &db));
    ck_assert_int_eq(pthread_create(&writer, NULL, keep_writing, (void *)&over), 0);
    for (i = 0; i < (SOAK_SANITIZED ? 20 : 200); i++)
        ck_ok(verify(&h, 0));
    atomic_store(&over, true);
    pthread_join(writer, NULL);
    end();
}
END_TEST

START_TEST(it_keeps_to_its_rate)
{
    struct lsm_verify_options o = {.bytes_per_s = 100000};
    uint64_t start;

    begin();
    start = env_now_ns(env);
    ck_ok(lsm_verify_with(db, &o));
    /* Some 60 KB; a twentieth of a second is free. */
    ck_assert_uint_gt(env_now_ns(env) - start, 300000000);
    end();
}
END_TEST

static int end_it(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    *(uint64_t *)arg = done;
    return -ECANCELED;
}

START_TEST(however_slow_it_can_be_stopped)
{
    uint64_t done = 0;
    struct lsm_verify_options o = {.bytes_per_s = 1, .progress = end_it, .arg = &done};

    begin();
    ck_err(lsm_verify_with(db, &o), ECANCELED);
    ck_assert_uint_lt(done, 40000);
    end();
}
END_TEST

/* ---- the ends of logs ---- */

/* Synced, and nothing after it in the log: when the store has rested the manifest
 * tells, so that a frame damaged there is not taken for a torn one. */
START_TEST(damage_at_the_end_of_a_log_is_told_once_the_store_has_rested)
{
    struct lsm_options o;
    struct env *after = NULL;
    struct lsm *damaged;
    struct buf log = {0};
    char *path;
    int rc = 0, i;

    test_log_capture();
    env = env_mem_new(1);
    options(&o);
    o.workers = 1;
    ck_ok(lsm_open("/s", &o, &db));
    ck_ok(lsm_put(db, slice_str("k"), slice_str("synced")));
    ck_ok(lsm_sync(db));
    path = find(FILE_LOG, 0, NULL);
    for (i = 0; i < 1200 && !rc; i++) { /* two minutes */
        size_t at;

        usleep(100000);
        env_mem_free(after);
        after = env_mem_crash_clone(env, 1, ENV_MEM_KEEP_ALL);
        ck_ok(env_mem_read(after, path, &log));
        at = (size_t)((uint8_t *)memmem(log.data, log.len, "synced", 6) - log.data);
        ck_ok(env_mem_flip(after, path, at, 1));
        options(&o);
        o.env = after;
        o.create = false;
        o.read_only = true;
        rc = lsm_open("/s", &o, &damaged);
        ck_assert(rc == 0 || rc == -EUCLEAN);
        if (!rc)
            ck_ok(lsm_close(damaged));
    }
    ck_assert_int_eq(rc, -EUCLEAN);
    ck_assert(test_log_has("damaged or missing that were synced"));
    env_mem_free(after);
    buf_release(&log);
    free(path);
    end();
}
END_TEST

/* ---- a manifest that lies ---- */

/* The edits of a store at rest as one. */
static int take_edit(void *arg, struct edit *e, const char *path)
{
    struct edit *all = arg;
    size_t i, k;

    (void)path;
    for (i = 0; i < e->n_removed; i++) {
        for (k = 0; all->added[k].meta.number != e->removed[i].number; k++)
            ck_assert_uint_lt(k, all->n_added);
        table_meta_release(&all->added[k].meta);
        all->added[k] = all->added[--all->n_added];
    }
    for (i = 0; i < e->n_added; i++)
        ck_ok(edit_add_table(all, e->added[i].level, &e->added[i].meta));
    for (i = 0; i < e->n_sealed; i++)
        ck_ok(edit_seal_segment(all, e->sealed[i].number, e->sealed[i].size));
    if (e->has_options) {
        all->has_options = true;
        buf_assign(&all->options, buf_slice(&e->options));
    }
    if (e->has_next_number)
        all->next_number = e->next_number;
    if (e->has_log_number)
        all->log_number = e->log_number;
    if (e->has_last_seq)
        all->last_seq = e->last_seq;
    all->has_next_number = all->has_log_number = all->has_last_seq = true;
    return 0;
}

START_TEST(tables_are_what_the_manifest_tells_of_them_or_damaged)
{
    struct edit all = {0};
    struct lsm_options o;
    struct heard h = {0};
    struct manifest *m;
    uint64_t number, length;
    struct lsm_value v = {0};
    char key[16];

    begin();
    ck_ok(lsm_close(db));
    ck_ok(manifest_read(env, "/s", take_edit, &all, &number, &length));
    ck_assert_uint_gt(all.n_added, 0);
    buf_assign(&all.added[0].meta.largest, buf_slice(&all.added[0].meta.smallest));
    number = all.next_number++;
    ck_ok(manifest_create(env, "/s", number, &all, &m));
    ck_ok(manifest_close(m, true));

    options(&o);
    ck_ok(lsm_open("/s", &o, &db));
    snprintf(key, sizeof(key), "%.*s", (int)all.added[0].meta.smallest.len,
             (const char *)all.added[0].meta.smallest.data);
    ck_err(lsm_get(db, NULL, slice_str(key), &v), EUCLEAN);
    ck_err(verify(&h, 0), EUCLEAN);
    ck_assert_uint_eq(h.n, 1);
    ck_assert_int_eq(h.d[0].lost, LSM_LOST_RANGE);
    ck_assert(test_log_has("not what the manifest tells of it"));
    lsm_value_release(&v);
    edit_release(&all);
    end();
}
END_TEST

TEST_MAIN("verify", TEST_CASE(of_a_sound_store_nothing_is_told),
          TEST_CASE(a_damaged_value_is_told_by_its_key),
          TEST_CASE(a_damaged_block_is_told_by_the_keys_around),
          TEST_CASE(it_goes_on_from_where_it_stopped),
          TEST_CASE(a_disk_that_cannot_read_is_damage_too),
          TEST_CASE(writing_and_collecting_go_on_meanwhile),
          TEST_CASE(it_keeps_to_its_rate), TEST_CASE(however_slow_it_can_be_stopped),
          TEST_CASE(damage_at_the_end_of_a_log_is_told_once_the_store_has_rested),
          TEST_CASE(tables_are_what_the_manifest_tells_of_them_or_damaged))
