/*
 * flips.c - see flips.h: damages, and what becomes of them.
 */
#include "tests/flips.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lsm/wal.h"
#include "lsm/wal_format.h"

static const char *const damage_name[DAMAGES] = {"byte flipped", "sector zeroed",
                                                 "file cut",     "bytes misplaced",
                                                 "writes lost",  "file removed"};
static const char *const verdict_name[VERDICTS] = {"open", "read", "scrub", "earlier",
                                                   "harmless"};

static const char *kind_name(enum file_kind kind)
{
    switch (kind) {
    case FILE_LOG:
        return "log";
    case FILE_TABLE:
        return "table";
    case FILE_SEGMENT:
        return "segment";
    case FILE_MANIFEST:
        return "manifest";
    case FILE_CURRENT:
        return "CURRENT";
    case FILE_LOCK:
        return "LOCK";
    case FILE_RESERVE:
        return "RESERVE";
    case FILE_DOUBT:
        return "DOUBT";
    default:
        return "other";
    }
}

/* ---- what was logged ---- */

static _Atomic unsigned n_logged;
static char last_line[1024];

static void count_line(void *arg, const char *line)
{
    (void)arg;
    n_logged++;
    snprintf(last_line, sizeof(last_line), "%s", line);
}

void flips_log(void)
{
    err_set_sink(count_line, NULL);
}

unsigned flips_logged(void)
{
    unsigned n = n_logged;

    n_logged = 0;
    return n;
}

const char *flips_last_line(void)
{
    return last_line;
}

/* ---- files ---- */

struct adding {
    struct victim *v;
    struct env *env;
    bool older;
};

static char *path_of(const struct victim *v, const char *name, char to[128])
{
    snprintf(to, 128, "%s/%s", v->dir, name);
    return to;
}

static int add_file(void *arg, const char *name)
{
    struct adding *a = arg;
    struct victim *v = a->v;
    struct victim_file *f;
    uint64_t number;
    char path[128];
    int i;

    f = a->older ? &v->older[v->n_older] : &v->file[v->n_files];
    ck_assert_int_lt(a->older ? v->n_older : v->n_files,
                     a->older ? FLIP_OLDER : FLIP_FILES);
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->kind = file_parse(name, &number);
    ck_ok(env_mem_read(a->env, path_of(v, name, path), &f->bytes));
    for (i = 0; a->older && i < v->n_older; i++)
        if (strcmp(v->older[i].name, name) == 0 &&
            slice_eq(buf_slice(&v->older[i].bytes), buf_slice(&f->bytes)))
            return 0; /* known so already */
    if (a->older)
        v->n_older++;
    else
        v->n_files++;
    return 0;
}

void victim_note_older(struct victim *v, struct env *env)
{
    struct adding a = {v, env, true};

    ck_ok(env_list(env, v->dir, add_file, &a));
}

static int ignore_payload(void *arg, struct slice payload, uint64_t end)
{
    return 0;
}

static void note_log_end(struct victim *v, struct victim_file *f)
{
    struct wal_replay r = {0};
    char path[128];

    file_parse(f->name, &r.number);
    ck_ok(wal_replay(v->env, path_of(v, f->name, path), &r, ignore_payload, NULL));
    /* One with a header alone has nothing to lose. */
    f->end = r.length > WAL_FRAME_HEADER + WAL_HEADER_PAYLOAD ? r.length : 0;
}

void victim_note_files(struct victim *v)
{
    struct adding a = {v, v->env, false};
    int i;

    v->n_files = 0;
    ck_ok(env_list(v->env, v->dir, add_file, &a));
    for (i = 0; i < v->n_files; i++)
        if (v->file[i].kind == FILE_LOG)
            note_log_end(v, &v->file[i]);
}

void victim_release(struct victim *v)
{
    int i;

    for (i = 0; i < FLIP_FILES; i++)
        buf_release(&v->file[i].bytes);
    for (i = 0; i < FLIP_OLDER; i++)
        buf_release(&v->older[i].bytes);
    env_mem_free(v->env);
    v->free_truth(v->truth);
    free(v);
}

/* ---- which damages there are ---- */

/* Bytes of which each bit is flipped: where headers and footers are. */
static bool is_edge(const struct victim_file *f, uint64_t off)
{
    return f->kind == FILE_CURRENT || f->kind == FILE_MANIFEST || off < 64 ||
           off + 64 >= f->bytes.len;
}

enum { ZEROS = 64, ZEROS_STEP = 61 };

/* Of what is set aside (logs, RESERVE) each so many bytes will do. */
static uint64_t step(const struct victim_file *f, uint64_t off)
{
    uint64_t i;

    if (f->bytes.len - off < 2 * ZEROS)
        return 1;
    for (i = 0; i < ZEROS; i++)
        if (f->bytes.data[off + i])
            return 1;
    return ZEROS_STEP;
}

/* Elsewhere one bit, another one from byte to byte. */
static bool next_flip(const struct victim *v, struct damage *d)
{
    const struct victim_file *f = &v->file[d->file];

    if (d->mask && d->mask < 0x80 && is_edge(f, d->off)) {
        d->mask = (uint8_t)(d->mask << 1);
        return true;
    }
    if (d->mask)
        d->off += step(f, d->off);
    while (d->file < v->n_files && d->off >= v->file[d->file].bytes.len) {
        d->file++;
        d->off = 0;
    }
    if (d->file == v->n_files)
        return false;
    f = &v->file[d->file];
    d->mask = (uint8_t)(is_edge(f, d->off) ? 1 : 1 << (d->off * 5 % 8));
    return true;
}

static uint64_t sectors(const struct victim_file *f)
{
    return (f->bytes.len + SECTOR - 1) / SECTOR;
}

static uint64_t sector_len(const struct victim_file *f, uint64_t off)
{
    return f->bytes.len - off < SECTOR ? f->bytes.len - off : SECTOR;
}

static bool next_zero(const struct victim *v, struct damage *d)
{
    if (d->len)
        d->off += SECTOR;
    while (d->file < v->n_files && d->off >= v->file[d->file].bytes.len) {
        d->file++;
        d->off = 0;
    }
    if (d->file == v->n_files)
        return false;
    d->len = sector_len(&v->file[d->file], d->off);
    return true;
}

static bool next_cut(const struct victim *v, struct damage *d)
{
    if (d->mask)
        d->off += step(&v->file[d->file], d->off);
    d->mask = 1; /* begun */
    while (d->file < v->n_files && d->off >= v->file[d->file].bytes.len) {
        d->file++;
        d->off = 0;
    }
    return d->file < v->n_files;
}

/* Sectors of files of one kind: from the same offset of another, or from anywhere in
 * the same. */
static bool moved_makes_sense(const struct victim *v, const struct damage *d)
{
    const struct victim_file *to = &v->file[d->file], *from = &v->file[d->from];

    return to->kind == from->kind && d->off < to->bytes.len &&
           d->from_off < from->bytes.len &&
           (d->file == d->from ? d->off != d->from_off : d->off == d->from_off);
}

static bool next_moved(const struct victim *v, struct damage *d)
{
    do {
        d->from_off += SECTOR;
        if (d->from_off >= v->file[d->from].bytes.len) {
            d->from_off = 0;
            d->off += SECTOR;
        }
        if (d->off >= v->file[d->file].bytes.len) {
            d->off = 0;
            d->from++;
        }
        if (d->from == v->n_files) {
            d->from = 0;
            d->file++;
        }
        if (d->file == v->n_files)
            return false;
    } while (!moved_makes_sense(v, d));
    return true;
}

static int find_file(const struct victim *v, const char *name)
{
    int i;

    for (i = 0; i < v->n_files && strcmp(v->file[i].name, name) != 0; i++)
        ;
    return i;
}

/* A version of a file that is there still, and is not as it is now. */
static bool older_makes_sense(const struct victim *v, struct damage *d)
{
    d->file = find_file(v, v->older[d->from].name);
    return d->file < v->n_files && !slice_eq(buf_slice(&v->older[d->from].bytes),
                                             buf_slice(&v->file[d->file].bytes));
}

static bool next_older(const struct victim *v, struct damage *d)
{
    if (d->mask)
        d->from++;
    d->mask = 1;
    while (d->from < v->n_older && !older_makes_sense(v, d))
        d->from++;
    return d->from < v->n_older;
}

static bool next_remove(const struct victim *v, struct damage *d)
{
    if (d->mask)
        d->file++;
    d->mask = 1;
    return d->file < v->n_files;
}

bool damage_next(const struct victim *v, struct damage *d)
{
    switch (d->kind) {
    case DAMAGE_FLIP:
        return next_flip(v, d);
    case DAMAGE_ZERO:
        return next_zero(v, d);
    case DAMAGE_CUT:
        return next_cut(v, d);
    case DAMAGE_MOVED:
        return next_moved(v, d);
    case DAMAGE_OLDER:
        return next_older(v, d);
    default:
        return next_remove(v, d);
    }
}

/* False: there is no such damage. */
static bool draw_once(const struct victim *v, struct damage *d, uint64_t *rng)
{
    uint64_t dice = test_below(rng, 100);
    const struct victim_file *f;

    *d = (struct damage){.kind = dice < 60   ? DAMAGE_FLIP
                                 : dice < 70 ? DAMAGE_ZERO
                                 : dice < 80 ? DAMAGE_CUT
                                 : dice < 90 ? DAMAGE_MOVED
                                 : dice < 98 ? DAMAGE_OLDER
                                             : DAMAGE_REMOVE};
    d->file = (int)test_below(rng, (uint64_t)v->n_files);
    d->from = (int)test_below(rng, (uint64_t)v->n_files);
    d->mask = (uint8_t)(1 << test_below(rng, 8));
    if (d->kind == DAMAGE_OLDER) {
        d->from = v->n_older ? (int)test_below(rng, (uint64_t)v->n_older) : 0;
        return v->n_older && older_makes_sense(v, d);
    }
    f = &v->file[d->file];
    if (d->kind == DAMAGE_REMOVE || !f->bytes.len)
        return d->kind == DAMAGE_REMOVE;
    d->off = test_below(rng, f->bytes.len);
    if (d->kind == DAMAGE_FLIP || d->kind == DAMAGE_CUT)
        return true;
    d->off -= d->off % SECTOR;
    d->len = sector_len(f, d->off);
    d->from_off = d->from == d->file ? test_below(rng, sectors(f)) * SECTOR : d->off;
    return d->kind == DAMAGE_ZERO || moved_makes_sense(v, d);
}

void damage_draw(const struct victim *v, struct damage *d, uint64_t *rng)
{
    while (!draw_once(v, d, rng))
        ;
}

/* ---- damaging and mending ---- */

/* The file as it is when damaged. */
static void damaged_bytes(const struct victim *v, const struct damage *d, struct buf *to)
{
    const struct victim_file *f = &v->file[d->file], *from;
    uint64_t len;

    buf_clear(to);
    if (d->kind == DAMAGE_OLDER) {
        buf_append_slice(to, buf_slice(&v->older[d->from].bytes));
        return;
    }
    buf_append_slice(to, buf_slice(&f->bytes));
    switch (d->kind) {
    case DAMAGE_FLIP:
        to->data[d->off] ^= d->mask;
        break;
    case DAMAGE_ZERO:
        memset(to->data + d->off, 0, d->len);
        break;
    case DAMAGE_CUT:
        to->len = d->off;
        break;
    case DAMAGE_MOVED:
        from = &v->file[d->from];
        len = sector_len(f, d->off);
        if (len > sector_len(from, d->from_off))
            len = sector_len(from, d->from_off);
        memcpy(to->data + d->off, from->bytes.data + d->from_off, len);
        break;
    default:
        break;
    }
}

/* False when that changes nothing. */
static bool apply(struct victim *v, const struct damage *d, struct env *env)
{
    const struct victim_file *f = &v->file[d->file];
    struct buf now = {0};
    char path[128];
    bool differs;

    path_of(v, f->name, path);
    if (d->kind == DAMAGE_FLIP) {
        ck_ok(env_mem_flip(env, path, d->off, d->mask));
        return true;
    }
    if (d->kind == DAMAGE_REMOVE) {
        ck_ok(env_unlink(env, path));
        return true;
    }
    damaged_bytes(v, d, &now);
    differs = !slice_eq(buf_slice(&now), buf_slice(&f->bytes));
    if (differs)
        ck_ok(env_mem_write(env, path, buf_slice(&now)));
    buf_release(&now);
    return differs;
}

static void mend(struct victim *v, const struct damage *d)
{
    const struct victim_file *f = &v->file[d->file];
    char path[128];

    path_of(v, f->name, path);
    if (d->kind == DAMAGE_FLIP)
        ck_ok(env_mem_flip(v->env, path, d->off, d->mask));
    else
        ck_ok(env_mem_write(v->env, path, buf_slice(&f->bytes)));
}

static void tell(const struct victim *v, const struct damage *d)
{
    const struct victim_file *f = &v->file[d->file];

    fprintf(stderr, "%s: %s: %s (%zu bytes) at %" PRIu64, v->name, damage_name[d->kind],
            f->name, f->bytes.len, d->off);
    if (d->kind == DAMAGE_FLIP)
        fprintf(stderr, ", bits %02x", d->mask);
    if (d->kind == DAMAGE_MOVED)
        fprintf(stderr, ", from %s at %" PRIu64, v->file[d->from].name, d->from_off);
    if (d->kind == DAMAGE_OLDER)
        fprintf(stderr, ", version %d of %zu bytes", d->from,
                v->older[d->from].bytes.len);
    fprintf(stderr, "\n  last logged: %s\n", last_line);
}

/* May nobody notice? Bytes that mean nothing: see lsm/DESIGN.md, "Silent damage". */
static void check_verdict(struct victim *v, const struct damage *d, enum verdict got)
{
    enum file_kind kind = v->file[d->file].kind;
    bool in_frame =
        kind == FILE_LOG && d->kind == DAMAGE_FLIP && d->off < v->file[d->file].end;
    bool may = kind == FILE_LOCK || kind == FILE_RESERVE;

    /* Those of a store in use: tails of logs, of manifests, of open segments. */
    may |= strcmp(v->name, "died") == 0 && (kind == FILE_LOG || kind == FILE_MANIFEST ||
                                            kind == FILE_SEGMENT || kind == FILE_CURRENT);
    may |= kind == FILE_SEGMENT && got == HARMLESS; /* values that nobody has any more */
    may |= kind == FILE_LOG && got == HARMLESS;     /* behind the last frame */
    /* CURRENT with the length 0 of an open store, from which nothing is missing. */
    may |= kind == FILE_CURRENT && d->kind == DAMAGE_OLDER;
    if ((may && !(in_frame && got == HARMLESS)) || got < AN_EARLIER_MOMENT)
        return;
    tell(v, d);
    ck_abort_msg("%s: nobody noticed", verdict_name[got]);
}

void victim_try(struct victim *v, const struct damage *d, bool write)
{
    struct env *env = v->env;
    enum verdict got = HARMLESS;
    bool right;

    if (write)
        env = env_mem_crash_clone(v->env, 1, ENV_MEM_KEEP_ALL);
    if (!apply(v, d, env)) {
        if (write)
            env_mem_free(env);
        return;
    }
    flips_logged();
    right = v->look(v, env, d->kind, write, &got);
    if (!right)
        tell(v, d);
    ck_assert_msg(right, "wrong data");
    if (write) {
        env_mem_free(env);
        v->written++;
        return;
    }
    mend(v, d);
    check_verdict(v, d, got);
    v->tried++;
    v->count[v->file[d->file].kind][d->kind][got]++;
}

/* ---- the table ---- */

void victims_print(struct victim *const *v, int n)
{
    uint64_t sum[VERDICTS], all, tried = 0, written = 0;
    int kind, what, i, k;

    printf("%-10s%-17s%9s", "file", "damage", "tried");
    for (k = 0; k < VERDICTS; k++)
        printf("%9s", verdict_name[k]);
    printf("\n");
    for (kind = 0; kind <= FILE_TEMP; kind++) {
        for (what = 0; what < DAMAGES; what++) {
            memset(sum, 0, sizeof(sum));
            for (all = 0, i = 0; i < n; i++)
                for (k = 0; k < VERDICTS; k++) {
                    sum[k] += v[i]->count[kind][what][k];
                    all += v[i]->count[kind][what][k];
                }
            if (!all)
                continue;
            printf("%-10s%-17s%9" PRIu64, kind_name((enum file_kind)kind),
                   damage_name[what], all);
            for (k = 0; k < VERDICTS; k++)
                printf("%9" PRIu64, sum[k]);
            printf("\n");
        }
    }
    for (i = 0; i < n; i++) {
        tried += v[i]->tried;
        written += v[i]->written;
    }
    printf("%" PRIu64 " damages, none returned wrong data; %" PRIu64
           " more opened for writing\n",
           tried, written);
    fflush(stdout);
}
