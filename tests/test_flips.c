/*
 * test_flips.c - silent damage: any byte of a store changed, cut off, misplaced, lost.
 *
 * Wrong data is never returned, nothing is missing without a word, and what is not
 * reported changes nothing. In `make test` damages are drawn at random; in `make soak`
 * all there are of the small stores of flips.h are tried, and counted in a table.
 */
#include "tests/flips.h"

#include <stdlib.h>

#include "lsm/table_impl.h"
#include "lsm/vlog_impl.h"

enum { VICTIMS = STORE_STATES + 1 };

static void make_all(struct victim *v[VICTIMS], uint64_t seed)
{
    int i;

    flips_log();
    for (i = 0; i < STORE_STATES; i++)
        v[i] = victim_engine((enum store_state)i, seed);
    v[i] = victim_tree(seed);
}

static void finish(struct victim *v[], int n)
{
    int i;

    victims_print(v, n);
    for (i = 0; i < n; i++)
        victim_release(v[i]);
}

/* Every so many damages are also tried on a store that is written to. */
static void try_all(struct victim *v, enum damage_kind kind, unsigned step)
{
    struct damage d = {.kind = kind};
    uint64_t n = 0;

    while (damage_next(v, &d)) {
        victim_try(v, &d, false);
        if (n++ % step == 0)
            victim_try(v, &d, true);
    }
}

START_TEST(damage_anywhere_is_reported_or_changes_nothing)
{
    struct victim *v[VICTIMS];
    uint64_t rng = test_seed() | 1;
    struct damage d;
    struct soak s;

    make_all(v, test_seed());
    for (soak_begin(&s); soak_on(&s);) {
        struct victim *one = v[s.rounds % VICTIMS];

        rng = soak_seed(&s) | 1;
        damage_draw(one, &d, &rng);
        victim_try(one, &d, false);
        s.operations++;
        if (s.rounds % 16 < VICTIMS)
            victim_try(one, &d, true);
    }
    soak_end(&s);
    finish(v, VICTIMS);
}
END_TEST

/* ---- whole pieces, elsewhere ---- */

/* Two versions of the same keys, so alike that their tables have blocks, and their
 * segments records, of one length at the same places: each is good where it belongs. */
enum { TWINS = 200, TWIN_VALUE = 60, TWIN_LARGE = 700, PIECES = 400 };

struct piece {
    char path[80];
    uint64_t off, len;
};

struct twins {
    struct env *env;
    struct lsm_options o;
    uint8_t value[2][TWINS][TWIN_LARGE];
    struct piece piece[PIECES];
    int n;
};

static size_t twin_len(int i)
{
    return i % 10 ? TWIN_VALUE : TWIN_LARGE;
}

static struct slice twin_key(int i, char to[16])
{
    snprintf(to, 16, "key%04d", i);
    return slice_str(to);
}

static void make_twins(struct twins *w, uint64_t seed)
{
    uint64_t rng = seed | 1;
    struct lsm *db;
    char key[16];
    int i, version;
    size_t at;

    flips_options(&w->o, w->env);
    memset(w->o.compression, 0, sizeof(w->o.compression));
    w->o.vlog = LSM_RAW;
    w->o.memtable_bytes = 256 << 10;
    w->o.segment_bytes = 4 << 10;
    w->o.l0_trigger = 100;
    w->o.create = true;
    ck_ok(lsm_open("/s", &w->o, &db));
    for (version = 0; version < 2; version++) {
        for (i = 0; i < TWINS; i++) {
            for (at = 0; at + 8 <= TWIN_LARGE; at += 8)
                store_le64(w->value[version][i] + at, test_random(&rng));
            ck_ok(lsm_put(db, twin_key(i, key),
                          slice_of(w->value[version][i], twin_len(i))));
        }
        ck_ok(lsm_flush(db));
    }
    ck_ok(lsm_close(db));
    w->o.create = false;
    w->o.read_only = true;
}

static void note_piece(struct twins *w, const char *path, uint64_t off, uint64_t len)
{
    struct piece *p = &w->piece[w->n++];

    ck_assert_int_le(w->n, PIECES);
    snprintf(p->path, sizeof(p->path), "%s", path);
    p->off = off;
    p->len = len;
}

static int note_pieces(void *arg, const char *name)
{
    struct twins *w = arg;
    struct table_open_options to = {.env = w->env};
    char path[80];
    uint64_t off;
    struct table *t;
    uint32_t i;
    enum file_kind kind = file_parse(name, &to.number);

    snprintf(path, sizeof(path), "/s/%s", name);
    to.path = path;
    ck_ok(env_stat(w->env, path, &to.size));
    if (kind == FILE_SEGMENT) {
        uint64_t record = record_header_bytes(TWIN_LARGE) + TWIN_LARGE;

        for (off = 0; off < to.size; off += record)
            note_piece(w, path, off, record);
    } else if (kind == FILE_TABLE) {
        ck_ok(table_open(&to, &t));
        for (i = 0; i < t->index.n; i++)
            note_piece(w, path, t->index.at[i], table_index_size(&t->index, i));
        note_piece(w, path, t->layout.filter, to.size - t->layout.filter);
        table_free(t);
    }
    return 0;
}

/* Nothing but what was written last, or an error; and somebody tells. */
static void look_at_twins(struct twins *w)
{
    struct lsm_value v = {0};
    struct lsm *db;
    char key[16];
    int i, rc = lsm_open("/s", &w->o, &db);

    ck_assert(rc == 0 || rc == -EUCLEAN);
    if (rc)
        return;
    for (i = 0; i < TWINS; i++) {
        rc = lsm_get(db, NULL, twin_key(i, key), &v);
        ck_assert(rc == 0 || rc == -EUCLEAN);
        if (!rc)
            ck_assert(slice_eq(v.value, slice_of(w->value[1][i], twin_len(i))));
    }
    ck_err(lsm_verify(db), EUCLEAN);
    lsm_value_release(&v);
    ck_ok(lsm_close(db));
}

/* Piece b is found where a should be. */
static void swap_in(struct twins *w, const struct piece *a, const struct piece *b)
{
    struct buf is = {0}, other = {0};
    uint64_t i;

    ck_ok(env_mem_read(w->env, a->path, &is));
    ck_ok(env_mem_read(w->env, b->path, &other));
    for (i = 0; i < a->len; i++)
        ck_ok(env_mem_flip(w->env, a->path, a->off + i,
                           is.data[a->off + i] ^ other.data[b->off + i]));
    look_at_twins(w);
    ck_ok(env_mem_write(w->env, a->path, buf_slice(&is)));
    buf_release(&is);
    buf_release(&other);
}

START_TEST(a_whole_piece_of_elsewhere_is_never_taken)
{
    struct twins *w = calloc(1, sizeof(*w));
    unsigned within = 0, between = 0;
    int i, j, step = SOAK_SANITIZED ? 7 : 1;

    flips_log();
    w->env = env_mem_new(1);
    make_twins(w, test_seed());
    ck_ok(env_list(w->env, "/s", note_pieces, w));
    for (i = 0; i < w->n; i += step) {
        bool same = false;

        for (j = 0; j < w->n; j++) {
            struct piece *a = &w->piece[i], *b = &w->piece[j];

            if (i == j || a->len != b->len)
                continue;
            if (a->off == b->off) { /* another table's or segment's */
                swap_in(w, a, b);
                between++;
            } else if (!same && strcmp(a->path, b->path) == 0) {
                swap_in(w, a, b);
                within += same = true;
            }
        }
    }
    printf("%u pieces: %u put in the place of others of their file, %u of other files\n",
           (unsigned)w->n, within, between);
    ck_assert(within >= 5 && between >= 5);
    env_mem_free(w->env);
    free(w);
}
END_TEST

static void exhaust(struct victim *v)
{
    int kind;

    flips_log();
    for (kind = 0; kind < DAMAGES; kind++)
        try_all(v, (enum damage_kind)kind, kind == DAMAGE_FLIP ? 101 : 31);
    finish(&v, 1);
}

START_TEST(every_byte_of_a_closed_store)
{
    exhaust(victim_engine(STORE_CLOSED, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_store_that_died)
{
    exhaust(victim_engine(STORE_DIED, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_store_that_was_recovered)
{
    exhaust(victim_engine(STORE_RECOVERED, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_checkpoint)
{
    exhaust(victim_engine(STORE_CHECKPOINT, test_seed()));
}
END_TEST

START_TEST(every_byte_of_a_filesystem)
{
    exhaust(victim_tree(test_seed()));
}
END_TEST

TEST_MAIN("flips", TEST_CASE_SOAK(damage_anywhere_is_reported_or_changes_nothing),
          TEST_CASE(a_whole_piece_of_elsewhere_is_never_taken),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_closed_store),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_store_that_died),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_store_that_was_recovered),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_checkpoint),
          TEST_CASE_SOAK_ONLY(every_byte_of_a_filesystem))
