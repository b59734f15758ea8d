/*
 * compact.c - merging sorted input into tables. Used by flush and compaction.
 *
 * What may go. Snapshots cut the sequence numbers into stripes: two versions in
 * one stripe look the same to every reader, so of a key only the newest of each
 * stripe stays, and a version covered by a range delete of its own stripe goes.
 * A tombstone of the oldest stripe goes when nothing below can hold its key; a flush, of
 * which most are of keys that it has the only versions of, asks filters, too.
 *
 * Outputs are cut between user keys only, so tables below L0 never share one,
 * and a range delete can be cut at the same keys.
 */
#include <stdlib.h>

#include "below.h"
#include "db_impl.h"
#include "ptr_map.h"
#include "filter_bits.h"
#include "search.h"

enum {
    FLUSH_SYNC_PERCENT = 20, /* of the time of a flush, what the sync may take */
    CHECK_EVERY = 1024,      /* entries between looks at `closing` */
    GRANDPARENT_FACTOR = 10, /* an output overlaps at most so many tables' bytes */
    ALIGN_SHARE = 2,         /* this part of a table is enough to end it at a boundary */
    L0_PIECE = 8,            /* a merged run that stays in L0: tables' sizes a piece */
    NOTES_MAX = 64 * 1024,   /* records that moved and are remembered in any case */
};

struct run {
    struct compact_job *job;
    uint64_t *snaps; /* ascending; the last one is now */
    size_t n_snaps;
    struct rangedel_set *ranges;
    struct range_tombstone *keep; /* of them, what goes to the outputs */
    size_t n_keep, keep_at;

    struct table_builder *builder; /* of the output under way */
    struct buf lower;              /* outputs so far end here */
    bool has_lower;
    size_t grandparent;
    uint64_t grandparent_bytes;

    uint64_t keys;   /* read */
    struct buf user; /* the last one */
    bool has_user;
    size_t stripe;      /* of its last version */
    struct below below; /* a flush */
    struct rangedel_span span;
    uint64_t span_seq;
    bool has_span;
    double filter_bits; /* of the outputs */

    struct buf value;     /* of an entry that moves */
    struct buf pointer;   /* where it went */
    struct buf key;       /* of an entry whose value was separated */
    struct ptr_map moved; /* what parts of records moved, and where to */
};

/* ---- what may go ---- */

/* Index of the first snapshot that sees seq. */
static size_t stripe_of(const struct run *r, uint64_t seq)
{
    return search_numbers(r->snaps, r->n_snaps - 1, seq);
}

static bool is_bottom(const struct run *r, struct slice lo, struct slice hi, bool hi_open)
{
    const struct compact_job *j = r->job;
    struct key_range range = {lo, hi, hi_open};
    unsigned level;

    if (j->c)
        return pick_is_bottom(j->version, j->c, &range);
    for (level = 0; level < LSM_LEVELS; level++)
        if (j->version->n[level])
            return false;
    return true;
}

/* Can there be no older version of a key below? */
static bool is_oldest(struct run *r, struct slice user)
{
    return r->job->c ? is_bottom(r, user, user, false) : !below_may_hold(&r->below, user);
}

/* Does a range delete of the same stripe cover it? */
static bool is_covered(struct run *r, struct slice user, uint64_t seq, size_t stripe)
{
    struct rangedel_span *s = &r->span;
    uint64_t at = r->snaps[stripe];

    if (!r->ranges || !r->ranges->n)
        return false;
    if (!r->has_span || r->span_seq != at || (s->has_lo && slice_cmp(user, s->lo) < 0) ||
        (s->has_hi && slice_cmp(user, s->hi) >= 0)) {
        rangedel_span_init(s);
        rangedel_ask(r->ranges->list, r->ranges->n, user, at, s);
        r->span_seq = at;
        r->has_span = true;
    }
    return s->seq > seq;
}

/* Notes the entry as the last one, and says whether it can be left out. */
static bool is_hidden(struct run *r, struct slice ikey, bool new_user)
{
    struct slice user = ikey_user(ikey);
    uint64_t seq = ikey_seq(ikey);
    size_t stripe = stripe_of(r, seq);

    if (!new_user && stripe == r->stripe)
        return true;
    if (new_user) {
        buf_assign(&r->user, user);
        r->keys++;
    }
    r->has_user = true;
    r->stripe = stripe;
    if (is_covered(r, user, seq, stripe))
        return true;
    return ikey_type(ikey) == IKEY_DELETE && stripe == 0 && is_oldest(r, user);
}

/* The fragments that stay: the newest of each stripe, unless nothing is below. */
static int choose_ranges(struct run *r)
{
    const struct compact_job *j = r->job;
    size_t i;
    int rc;

    if (!j->n_ranges)
        return 0;
    rc = rangedel_build(j->ranges, j->n_ranges, r->snaps, r->n_snaps, &r->ranges);
    if (rc)
        return rc;
    r->keep = malloc((r->ranges->n + 1) * sizeof(*r->keep));
    if (!r->keep)
        return -ENOMEM;
    for (i = 0; i < r->ranges->n; i++) {
        const struct range_tombstone *t = &r->ranges->list[i];

        if (stripe_of(r, t->seq) == 0 && is_bottom(r, t->start, t->end, true))
            continue;
        r->keep[r->n_keep++] = *t;
    }
    return 0;
}

/* ---- outputs ---- */

static uint64_t count_entries(struct tfile *const *file, size_t n, uint64_t *filter_bytes)
{
    uint64_t entries = 0;
    size_t i;

    for (i = 0; i < n; i++) {
        entries += file[i]->meta.entries;
        *filter_bytes += file[i]->meta.filter_bytes;
    }
    return entries;
}

/* By the levels as they will be when the job is done. */
static double output_filter_bits(const struct compact_job *j)
{
    struct filter_level level[LSM_LEVELS] = {0}, *out = &level[j->output_level];
    uint64_t entries = j->flush ? memtable_keys(j->flush) : 0, filter_bytes = 0,
             input_bytes = 0, input;
    const struct version *v = j->version;
    unsigned l;

    for (l = 0; l < LSM_LEVELS; l++) {
        size_t n = j->c ? j->c->n[l] : 0;

        input = n ? count_entries(j->c->inputs[l], n, &input_bytes) : 0;
        level[l].entries = count_entries(v->file[l], v->n[l], &filter_bytes) - input;
        level[l].runs = l ? level[l].entries > 0 : v->n[l] - n;
        entries += input;
    }
    out->entries += entries;
    out->runs = j->output_level == 0 ? out->runs + 1 : 1;
    return filter_bits_output(level, LSM_LEVELS, j->output_level, entries,
                              filter_bytes - input_bytes, j->db->o.filter_bits);
}

static void pay(void *arg, uint64_t bytes)
{
    struct lsm *db = arg;

    if (!atomic_load(&db->closing))
        rate_take(&db->rate, bytes);
}

static int open_output(struct run *r)
{
    struct lsm *db = r->job->db;
    bool last = r->job->output_level == LSM_LEVELS - 1;
    struct table_builder_options o = {
        .env = db->env,
        .number = db_new_number(db),
        .block_bytes = db->o.block_bytes,
        .filter_bits = r->filter_bits,
        .compression =
            (enum compression)atomic_load(&db->live.compression[r->job->output_level]),
        .dictionary_bytes = last ? db->o.dictionary_bytes : 0,
        .memory = &db->memory,
        .wrote = r->job->flush || !db->o.workers ? NULL : pay,
        .arg = db,
    };
    char *path = file_path(db->dir, FILE_TABLE, o.number);
    int rc;

    if (!path)
        return -ENOMEM;
    o.path = path;
    rc = table_builder_open(&o, &r->builder);
    free(path);
    return rc;
}

/* Add the part of fragment t that lies in [lower, upper) of the output. */
static int add_range(struct run *r, const struct range_tombstone *t,
                     const struct slice *upper)
{
    struct slice start = t->start, end = t->end;
    int rc = 0;

    if (r->has_lower && slice_cmp(start, buf_slice(&r->lower)) < 0)
        start = buf_slice(&r->lower);
    if (upper && slice_cmp(end, *upper) > 0)
        end = *upper;
    if (slice_cmp(start, end) >= 0)
        return 0;
    if (!r->builder)
        rc = open_output(r);
    return rc ? rc : table_builder_add_range_delete(r->builder, start, end, t->seq);
}

/* End the output under way before the user key upper (NULL: at the end of all). */
static int close_output(struct run *r, const struct slice *upper)
{
    struct compact_job *j = r->job;
    struct table_meta meta = {0};
    size_t i;
    int rc = 0;

    while (r->keep_at < r->n_keep && r->has_lower &&
           slice_cmp(r->keep[r->keep_at].end, buf_slice(&r->lower)) <= 0)
        r->keep_at++;
    for (i = r->keep_at; i < r->n_keep && !rc; i++) {
        if (upper && slice_cmp(r->keep[i].start, *upper) >= 0)
            break;
        rc = add_range(r, &r->keep[i], upper);
    }
    if (rc)
        return rc;
    if (upper) {
        buf_assign(&r->lower, *upper);
        r->has_lower = true;
        if (buf_error(&r->lower))
            return -ENOMEM;
    }
    if (!r->builder)
        return 0;
    /* A table that is whole is taken by lsm_repair for the end of a flush, after which
     * the log is not needed. */
    if (j->separate && j->moved)
        rc = vlog_sync_moved(j->db->vlog);
    if (rc)
        return db_fail(j->db, rc, "syncing the value log");
    rc = table_builder_finish(r->builder, &meta);
    r->builder = NULL;
    KILL_POINT("output-finished");
    if (rc)
        return rc;
    j->written += meta.size;
    rc = edit_add_table(j->e, j->output_level, &meta);
    table_meta_release(&meta);
    return rc;
}

/*
 * Moves on to user in the level after next; true when a table there ended since the
 * last call. An output that ends there, too, takes no part of a table that its
 * successor takes a part of: less to rewrite when they go down.
 */
static bool passes_boundary(struct run *r, struct slice user)
{
    const struct version *v = r->job->version;
    unsigned level = r->job->output_level + 1;
    size_t before = r->grandparent;

    if (level == 1 || level >= LSM_LEVELS)
        return false;
    while (r->grandparent < v->n[level] &&
           table_range_cmp(&v->file[level][r->grandparent]->meta, user) > 0) {
        if (r->builder)
            r->grandparent_bytes += v->file[level][r->grandparent]->meta.size;
        r->grandparent++;
    }
    return r->grandparent != before;
}

static bool wants_cut(struct run *r, struct slice user)
{
    uint64_t full = r->job->db->o.table_bytes, size;
    bool boundary;

    if (r->job->flush)
        return false;
    boundary = passes_boundary(r, user);
    if (!r->builder)
        return false;
    if (r->job->output_level == 0)
        full *= L0_PIECE;
    size = table_builder_size(r->builder);
    return size >= full || (boundary && size >= full / ALIGN_SHARE) ||
           r->grandparent_bytes > (uint64_t)GRANDPARENT_FACTOR * full;
}

/*
 * Those who share a record share it where it goes: p becomes the pointer if what it
 * wants of its record has moved already.
 */
static bool moved_already(struct run *r, struct vptr *p)
{
    const struct ptr_note *note = ptr_map_find(&r->moved, p->segment, p->offset);
    uint64_t from = note ? note->bytes : 0; /* where the part that moved begins */
    struct vptr to;

    if (!note || p->off < from || p->off + p->len > from + note->to.len)
        return false;
    to = note->to;
    to.off = p->off - (uint32_t)from;
    to.len = p->len;
    to.shared = true;
    *p = to;
    return true;
}

/* Remember what moved, as far as memory is no matter: of records that nobody is known
 * to share only so many. The wider of two parts is worth more. */
static int note_moved(struct run *r, const struct vptr *from, const struct vptr *to)
{
    struct ptr_note *note;

    if (!from->shared && r->moved.n >= NOTES_MAX)
        return 0;
    note = ptr_map_add(&r->moved, from->segment, from->offset);
    if (!note)
        return -ENOMEM;
    if (note->to.len <= to->len) {
        note->bytes = from->off;
        note->to = *to;
    }
    return 0;
}

/* Copy what p points to out of its segment, no more; p becomes the new pointer.
 * -ENODATA when it cannot be read. */
static int copy_value(struct run *r, struct vptr *p)
{
    struct lsm *db = r->job->db;
    struct vptr to;
    int rc = vlog_move(db->vlog, p, &r->value, &to);

    KILL_POINT("value-moved");
    if (rc)
        return rc;
    r->job->moved += to.stored;
    atomic_fetch_add(&db->space_moving, to.stored);
    to.shared = p->shared;
    rc = note_moved(r, p, &to);
    *p = to;
    return rc;
}

/*
 * A value in a segment that is to be emptied moves to an active one; *value
 * becomes the new pointer. One that cannot be read stays: whoever asks for it
 * gets the error, and the rest of its segment stays with it.
 */
static int move_value(struct run *r, struct slice *value)
{
    struct lsm *db = r->job->db;
    struct slice in = *value;
    struct vptr p;
    int rc = 0;

    if (!vptr_decode(&in, &p))
        return err_corrupt(db->dir, 0, "a value is not a pointer");
    if (!segment_set_has(&r->job->c->victims, p.segment))
        return 0;
    if (!moved_already(r, &p))
        rc = copy_value(r, &p);
    if (rc == -ENODATA)
        db_note_unmovable(db, p.segment);
    if (rc)
        return rc == -ENODATA ? 0 : rc;
    buf_clear(&r->pointer);
    vptr_append(&r->pointer, &p);
    *value = buf_slice(&r->pointer);
    return buf_error(&r->pointer);
}

/* A large value that came with its log entry (db_sync.c) goes where the others are;
 * *key and *value become those of a pointer. */
static int separate_value(struct run *r, struct slice *key, struct slice *value)
{
    struct vptr to;
    int rc = vlog_append_moved(r->job->db->vlog, *value, VLOG_AS_OPENED, &to);

    KILL_POINT("value-separated");
    if (rc)
        return rc;
    r->job->moved += to.stored;
    buf_clear(&r->pointer);
    vptr_append(&r->pointer, &to);
    buf_clear(&r->key);
    ikey_append(&r->key, ikey_user(*key), ikey_seq(*key), IKEY_PUT_REF);
    *key = buf_slice(&r->key);
    *value = buf_slice(&r->pointer);
    rc = buf_error(&r->key);
    return rc ? rc : buf_error(&r->pointer);
}

static bool is_to_be_separated(const struct run *r, struct slice key, struct slice value)
{
    size_t large = r->job->db->o.separate_bytes;

    return r->job->separate && large && value.len >= large && ikey_type(key) == IKEY_PUT;
}

static int add_entry(struct run *r, struct slice key, struct slice value, bool new_user)
{
    struct slice user = ikey_user(key);
    int rc = 0;

    if (new_user && wants_cut(r, user)) {
        rc = close_output(r, &user);
        r->grandparent_bytes = 0;
    }
    if (!rc && !r->builder)
        rc = open_output(r);
    if (!rc && r->job->c && r->job->c->victims.n && ikey_type(key) == IKEY_PUT_REF)
        rc = move_value(r, &value);
    if (!rc && is_to_be_separated(r, key, value))
        rc = separate_value(r, &key, &value);
    return rc ? rc : table_builder_add(r->builder, key, value);
}

/* ---- the run ---- */

static int to_start(struct run *r)
{
    struct compact_job *j = r->job;
    struct buf key = {0};
    int rc;

    if (!j->lower) {
        iter_first(j->input);
        return 0;
    }
    buf_assign(&r->lower, *j->lower);
    r->has_lower = true;
    ikey_append_seek(&key, *j->lower, IKEY_SEQ_MAX);
    rc = buf_error(&key) ? buf_error(&key) : buf_error(&r->lower);
    if (!rc)
        iter_seek(j->input, buf_slice(&key));
    buf_release(&key);
    return rc;
}

/* A flush tells how far it is; a compaction asks if there is a reason to give up. */
static int look_up(struct run *r)
{
    const struct compaction *c = r->job->c;
    struct memtable *m = r->job->flush;

    if (m) {
        double part = (double)r->keys / (double)(memtable_keys(m) + 1);

        part *= (100 - FLUSH_SYNC_PERCENT) / 100.0;
        atomic_store_explicit(&r->job->db->flush_done_bytes,
                              (uint64_t)(part * (double)memtable_bytes(m)),
                              memory_order_relaxed);
        return 0;
    }
    if (c && c->go_on && !c->go_on(c->go_on_arg))
        return -ECANCELED;
    return atomic_load(&r->job->db->closing) ? -ECANCELED : 0;
}

/* In the oldest stripe all older versions of a key are hidden: a flush looks at none. */
static void step(struct run *r, struct iter *in)
{
    if (r->job->flush && r->stripe == 0)
        memtable_iter_next_key(in);
    else
        iter_next(in);
}

static int run_points(struct run *r)
{
    struct compact_job *j = r->job;
    struct iter *in = j->input;
    unsigned since_check = 0;
    int rc = to_start(r);

    for (; in->valid && !rc; step(r, in)) {
        struct slice user = ikey_user(in->key);
        bool new_user;

        if (++since_check == CHECK_EVERY) {
            since_check = 0;
            rc = look_up(r);
            if (rc)
                return rc;
        }
        new_user = !r->has_user || !slice_eq(user, buf_slice(&r->user));
        if (new_user && j->upper && slice_cmp(user, *j->upper) >= 0)
            break;
        if (is_hidden(r, in->key, new_user))
            continue;
        rc = buf_error(&r->user);
        if (!rc)
            rc = add_entry(r, in->key, in->value, new_user);
    }
    if (!rc)
        rc = in->err;
    return rc ? rc : close_output(r, j->upper);
}

void compact_undo(struct lsm *db, const struct edit *e)
{
    size_t i;

    for (i = 0; i < e->n_added; i++) {
        uint64_t number = e->added[i].meta.number;
        char *path = number ? file_path(db->dir, FILE_TABLE, number) : NULL;

        if (path)
            env_unlink(db->env, path); /* else the next open removes it */
        free(path);
    }
}

int compact_run(struct compact_job *job)
{
    struct run r = {.job = job, .filter_bits = output_filter_bits(job)};
    int rc = db_snapshots(job->db, &r.snaps, &r.n_snaps);

    if (job->flush)
        below_init(&r.below, job->version);
    if (!rc)
        rc = choose_ranges(&r);
    if (!rc)
        rc = run_points(&r);
    if (job->flush)
        below_release(&r.below);
    table_builder_abandon(r.builder);
    rangedel_free(r.ranges);
    free(r.keep);
    free(r.snaps);
    buf_release(&r.user);
    buf_release(&r.lower);
    buf_release(&r.value);
    buf_release(&r.pointer);
    buf_release(&r.key);
    ptr_map_release(&r.moved);
    return rc;
}

int compact_make_durable(struct lsm *db, bool moved)
{
    /* Values first, then the tables that point to them become durable. */
    int rc = moved ? vlog_sync_moved(db->vlog) : 0;

    if (rc)
        return db_fail(db, rc, "syncing the value log"); /* nothing can go there again */
    return db_sync_names(db);
}
