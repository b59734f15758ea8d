/*
 * db_space.c - the space of the value log: what of it is garbage, which segments
 * are to be emptied, how much writers may add, and deleting what nobody refers to.
 *
 * The account is made anew with every version: garbage is what segments hold and
 * tables do not refer to. Decisions are vlog_gc.c's.
 */
#include <stdlib.h>

#include "db_impl.h"
#include "search.h"

enum {
    REF_SHARE = 32, /* of all separated bytes, what one memtable may point to */
    WAIT_NS = 50000000,
};

/* Bytes of values that one memtable may point to, and be made of. */
static uint64_t memtable_limit(const struct lsm_options *o, uint64_t live)
{
    uint64_t share = live / REF_SHARE;

    return share > o->memtable_bytes ? share : o->memtable_bytes;
}

/* Bounds alone, as if the disk were never full. */
static struct vlog_gc_options gc_options(const struct lsm_options *o)
{
    return (struct vlog_gc_options){
        .ratio = o->garbage_ratio,
        .memtables = (uint64_t)o->memtables * o->memtable_bytes,
        .memtable = o->memtable_bytes,
        .segment_bytes = o->segment_bytes,
        .far = o->env && o->env->appends_in_memory,
        .room = UINT64_MAX,
    };
}

void db_note_unmovable(struct lsm *db, uint64_t segment)
{
    struct segment_set *s = &db->unmovable;
    void *p;

    mutex_lock(&db->state_mu);
    p = segment_set_has(s, segment) ? NULL
                                    : realloc(s->number, (s->n + 1) * sizeof(*s->number));
    if (p) {
        size_t i = s->n++;

        s->number = p;
        for (; i > 0 && s->number[i - 1] > segment; i--)
            s->number[i] = s->number[i - 1];
        s->number[i] = segment;
    }
    mutex_unlock(&db->state_mu);
}

/* ---- who refers to what ---- */

struct marking {
    const struct vlog_segment *list; /* ascending */
    size_t n;
    bool *live;
};

static void mark_segment(void *arg, uint64_t segment, uint64_t bytes)
{
    struct marking *m = arg;
    size_t i = search_records(m->list, m->n, sizeof(*m->list), segment);

    (void)bytes;
    if (i < m->n && m->list[i].number == segment)
        m->live[i] = true;
}

static uint64_t memtable_deleted(struct memtable *m)
{
    return atomic_load_explicit(&memtable_place(m)->deleted_bytes, memory_order_relaxed);
}

/* Bytes of values that m points to or deletes. What is deleted takes room, and nothing
 * may be in its place. */
static uint64_t memtable_hides(const struct lsm *db, struct memtable *m)
{
    return memtable_ref_bytes(m) +
           (uint64_t)((1 + db->o.garbage_ratio) * (double)memtable_deleted(m));
}

/* Memtables of the view but imm. */
static void mark_memtables(const struct view *v, const struct memtable *imm,
                           struct marking *m)
{
    unsigned i;

    memtable_segments(v->mem, mark_segment, m);
    for (i = 0; i < v->n_imm; i++)
        if (v->imm[i] != imm)
            memtable_segments(v->imm[i], mark_segment, m);
}

static void mark_table(const struct table_meta *t, struct marking *m)
{
    size_t at = 0, i;

    /* Both ascend. */
    for (i = 0; i < t->n_refs; i++) {
        while (at < m->n && m->list[at].number < t->refs[i].segment)
            at++;
        if (at < m->n && m->list[at].number == t->refs[i].segment)
            m->live[at] = true;
    }
}

static void mark_view(const struct view *v, struct marking *m)
{
    unsigned level;
    size_t i;

    mark_memtables(v, NULL, m);
    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < v->version->n[level]; i++)
            mark_table(&v->version->file[level][i]->meta, m);
}

/* ---- the account ---- */

struct account {
    struct vlog_segment *list;
    struct segment_use *uses; /* of all of them */
    bool *marked;             /* memtables point there */
    size_t n;
    uint64_t hidden;  /* bytes that memtables hide */
    uint64_t deleted; /* by memtables and L0 */
};

static void account_release(struct account *a)
{
    free(a->list);
    free(a->uses);
    free(a->marked);
}

static void add_memtable(const struct lsm *db, struct memtable *m, struct account *a)
{
    a->hidden += memtable_hides(db, m);
    a->deleted += memtable_deleted(m);
}

static int account_make(struct lsm *db, const struct version *v, const struct view *view,
                        const struct memtable *imm, struct account *a)
{
    struct marking m = {0};
    size_t i;
    int rc = vlog_segments(db->vlog, &a->list, &a->n);

    if (rc)
        return rc;
    a->uses = calloc(a->n + 1, sizeof(*a->uses));
    a->marked = calloc(a->n + 1, sizeof(*a->marked));
    if (!a->uses || !a->marked)
        return -ENOMEM;
    for (i = 0; i < a->n; i++) {
        a->uses[i].number = a->list[i].number;
        a->uses[i].size = a->list[i].size;
    }
    segment_uses(v, a->uses, a->n);
    m = (struct marking){a->list, a->n, a->marked};
    mark_memtables(view, imm, &m);
    add_memtable(db, view->mem, a);
    for (i = 0; i < view->n_imm; i++)
        if (view->imm[i] != imm)
            add_memtable(db, view->imm[i], a);
    return 0;
}

/* Also what is deleted by L0; imm is its newest table. */
static void add_l0(const struct version *v, struct memtable *imm, struct account *a)
{
    size_t i;

    if (imm && v->n[0])
        atomic_store(&v->file[0][0]->deleted_bytes, memtable_deleted(imm));
    for (i = 0; i < v->n[0]; i++)
        a->deleted += atomic_load(&v->file[0][i]->deleted_bytes);
}

/* Live at least: what the levels refer to, as if L0 overwrote as much as it adds.
 * Parts that share a record count no more than their segment has. */
static uint64_t live_bytes(const struct account *a, const struct version *v)
{
    uint64_t live = 0;
    size_t i;

    for (i = 0; i < a->n; i++)
        live += a->uses[i].live < a->uses[i].size ? a->uses[i].live : a->uses[i].size;
    return live > v->ref_bytes[0] ? live - v->ref_bytes[0] : 0;
}

/* What memtables and levels above the last one point to, and delete: each may hide a
 * garbage value below. */
static uint64_t hidden_bytes(const struct account *a, const struct version *v,
                             uint64_t mean)
{
    uint64_t bytes = a->hidden;
    unsigned level, last = LSM_LEVELS - 1;

    while (last > 1 && !v->n[last])
        last--;
    for (level = 0; level < last; level++)
        bytes += v->ref_bytes[level] + v->deletes[level] * mean;
    return bytes;
}

static uint64_t mean_bytes(const struct version *v, uint64_t live)
{
    uint64_t entries = 1;
    unsigned level;

    for (level = 1; level < LSM_LEVELS; level++)
        entries += v->entries[level];
    return live / entries;
}

/*
 * The segments to choose from, to the front of a->uses; their number. One that
 * memtables point to is left alone: how much of it is garbage is not known yet.
 * Of those that hold a damaged value the garbage stays, and is not to be paid for.
 */
static size_t choose_from(struct lsm *db, struct account *a, uint64_t *stuck)
{
    size_t n = 0, i;

    *stuck = 0;
    mutex_lock(&db->state_mu);
    for (i = 0; i < a->n; i++) {
        struct segment_use u = a->uses[i];

        if (a->list[i].active)
            continue;
        if (segment_set_has(&db->unmovable, u.number))
            *stuck += u.size > u.live ? u.size - u.live : 0;
        else if (!a->marked[i])
            a->uses[n++] = u;
    }
    mutex_unlock(&db->state_mu);
    return n;
}

int db_space_account(struct lsm *db, const struct version *v, const struct view *view,
                     struct memtable *imm, struct segment_set *victims, uint64_t *count)
{
    struct vlog_gc_options o = gc_options(&db->o);
    struct account a = {0};
    uint64_t live, mean, hidden, stuck;
    size_t n;
    int rc = account_make(db, v, view, imm, &a);

    memset(victims, 0, sizeof(*victims));
    *count = atomic_load(&db->room_count); /* before the look at the room */
    if (!rc) {
        live = live_bytes(&a, v);
        mean = mean_bytes(v, live);
        add_l0(v, imm, &a);
        hidden = hidden_bytes(&a, v, mean);
        n = choose_from(db, &a, &stuck);
        atomic_store(&db->space_live, live);
        atomic_store(&db->space_mean, mean);
        atomic_store(&db->space_deleted, a.deleted);
        atomic_store(&db->space_stuck, stuck);
        vlog_set_segment_bytes(db->vlog, vlog_gc_segment_bytes(&o, live));
        o.room = db_reserve_room(db);
        rc = vlog_gc_victims(&o, a.uses, n, live, vlog_gc_allowed(&o, live, hidden),
                             victims);
    }
    account_release(&a);
    return rc;
}

int db_space_again(struct lsm *db)
{
    struct segment_set victims;
    struct view *view;
    uint64_t count;
    int rc;

    mutex_lock(&db->manifest_mu); /* the version stays */
    view = db_view_ref(db);
    rc = db_space_account(db, view->version, view, NULL, &victims, &count);
    mutex_lock(&db->state_mu);
    segment_set_release(&db->victims);
    db->victims = victims;
    db->victims_count = count;
    mutex_unlock(&db->state_mu);
    mutex_unlock(&db->manifest_mu);
    db_view_unref(view);
    return rc;
}

/* ---- what writers may add ---- */

static uint64_t table_refs(const struct table_meta *m)
{
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < m->n_refs; i++)
        bytes += m->refs[i].bytes;
    return bytes;
}

/* Bytes of separated values that f refers to in r, about. The table is opened for it,
 * once: a guess would make each overwritten MiB of a large file, which is one table, as
 * costly as half of the file. Of one that cannot be read nothing can be given back. */
static uint64_t covered_in(struct tfile *f, const struct key_range *r)
{
    struct table *t;
    double part;

    if (atomic_load(&f->left_out) || tfile_pin(f, TABLE_ITER_READ, &t))
        return 0;
    part = table_part_before(t, r->hi) - table_part_before(t, r->lo);
    tfile_unpin(f);
    return (uint64_t)(part * (double)table_refs(&f->meta));
}

/* The same in the range [from, to), of all levels but L0. */
static uint64_t covered_bytes(const struct version *v, struct slice from, struct slice to)
{
    struct key_range r = {from, to, true};
    uint64_t bytes = 0;
    unsigned level;
    size_t first, end, i;

    for (level = 1; level < LSM_LEVELS; level++) {
        if (!v->ref_bytes[level])
            continue;
        version_overlap(v, level, &r, &first, &end);
        for (i = first; i < end; i++) {
            struct tfile *f = v->file[level][i];
            bool inner = i > first && i + 1 < end;

            if (f->meta.n_refs)
                bytes += inner ? table_refs(&f->meta) : covered_in(f, &r);
        }
    }
    return bytes;
}

uint64_t db_space_deletes(struct lsm *db, const struct lsm_batch *b)
{
    uint64_t mean = atomic_load_explicit(&db->space_mean, memory_order_relaxed),
             bytes = 0;
    struct slot *s = NULL;
    struct view *v = NULL;
    size_t i;

    if (!mean || db->o.garbage_ratio <= 0)
        return 0;
    for (i = 0; i < b->n; i++) {
        if (b->ops[i].kind == BATCH_DELETE)
            bytes += mean;
        if (b->ops[i].kind != BATCH_DELETE_RANGE)
            continue;
        if (!v)
            v = db_view(db, s = db_slot(db));
        bytes += covered_bytes(v->version, batch_key(b, &b->ops[i]),
                               batch_value(b, &b->ops[i]));
    }
    if (v)
        db_view_done(s, v);
    return bytes;
}

void db_space_note(struct lsm *db, struct memtable *m, uint64_t bytes)
{
    if (!bytes)
        return;
    atomic_fetch_add(&memtable_place(m)->deleted_bytes, bytes);
    atomic_fetch_add(&db->space_deleted, bytes);
}

bool db_memtable_full(const struct lsm *db)
{
    uint64_t live = atomic_load_explicit(&db->space_live, memory_order_relaxed);

    return memtable_bytes(db->mem) >= db->o.memtable_bytes ||
           memtable_hides(db, db->mem) >= memtable_limit(&db->o, live) ||
           memtable_crowded(db->mem);
}

/* The log's bytes that writers answer for. */
static uint64_t space_used(struct lsm *db)
{
    uint64_t bytes = vlog_bytes(db->vlog);
    uint64_t held = atomic_load_explicit(&db->space_moving, memory_order_relaxed) +
                    atomic_load_explicit(&db->space_held, memory_order_relaxed) +
                    atomic_load_explicit(&db->space_stuck, memory_order_relaxed);

    return bytes > held ? bytes - held : 0;
}

/* What was live when the account was made, less what was deleted since. */
static uint64_t space_live(struct lsm *db)
{
    uint64_t live = atomic_load_explicit(&db->space_live, memory_order_relaxed);
    uint64_t deleted = atomic_load_explicit(&db->space_deleted, memory_order_relaxed);

    return live > deleted ? live - deleted : 0;
}

uint64_t db_space_price(struct lsm *db, const struct lsm_batch *b)
{
    struct vlog_gc_options o = gc_options(&db->o);
    uint64_t price = vlog_gc_price(&o, space_live(db), space_used(db));
    uint64_t mean = atomic_load_explicit(&db->space_mean, memory_order_relaxed);
    uint64_t bytes = b->user_bytes + 64;
    size_t i;

    if (!price)
        return 0;
    for (i = 0; i < b->n; i++)
        bytes += b->ops[i].kind == BATCH_DELETE ? mean : 0;
    return price * bytes / 1024;
}

bool db_space_coming_locked(struct lsm *db)
{
    bool purging;

    if (atomic_load(&db->error) || atomic_load(&db->closing))
        return false;
    mutex_lock(&db->dead_mu);
    purging = db->purging;
    mutex_unlock(&db->dead_mu);
    if (purging || db->compactions_running)
        return true;
    return !db_paused_locked(db) &&
           (db->victims.n || (atomic_load(&db->view)->n_imm && !db->flush_error));
}

uint64_t db_space_wait(struct lsm *db)
{
    struct vlog_gc_options o = gc_options(&db->o);
    uint64_t start = 0;
    bool busy = o.ratio > 0;

    while (busy && space_used(db) > vlog_gc_writer_limit(&o, space_live(db))) {
        if (!start)
            start = env_now_ns(db->env);
        env_about_to_block();
        mutex_lock(&db->state_mu);
        busy = db_space_coming_locked(db);
        if (busy)
            cond_wait_ns(&db->room, &db->state_mu, WAIT_NS);
        mutex_unlock(&db->state_mu);
    }
    return start ? env_now_ns(db->env) - start : 0;
}

uint64_t lsm_space_bound(const struct lsm_options *o, uint64_t values, uint64_t tables)
{
    struct vlog_gc_options gc = gc_options(o);

    if (o->garbage_ratio <= 0)
        return UINT64_MAX;
    return vlog_gc_limit(&gc, values) + 3 * tables +
           (o->memtables + 1) * db_log_chunk(o) + 2 * o->memtable_bytes +
           db_reserve_bytes(o);
}

/* ---- deleting ---- */

bool db_is_moved_to_locked(const struct lsm *db, const struct vlog_segment *s)
{
    unsigned i;

    for (i = 0; i < db->n_moving && s->moved; i++)
        if (s->number >= db->moving_floor[i])
            return true;
    return false;
}

int db_moving_begin_locked(struct lsm *db, uint64_t *floor)
{
    void *p = realloc(db->moving_floor, (db->n_moving + 1) * sizeof(*db->moving_floor));

    if (!p)
        return -ENOMEM;
    db->moving_floor = p;
    *floor = db->moving_floor[db->n_moving++] = vlog_newest_moved(db->vlog);
    return 0;
}

void db_moving_end_locked(struct lsm *db, uint64_t floor)
{
    unsigned i = 0;

    while (db->moving_floor[i] != floor)
        i++;
    db->moving_floor[i] = db->moving_floor[--db->n_moving];
}

/*
 * Which segments does anything alive refer to? With `values` held for writing
 * no pointer is on its way into a memtable. Every memtable and table that somebody
 * reads is in a view that is current or waits for its readers; what a compaction
 * reads is in the current one, until it is done. Segments that only readers of older
 * views keep are summed up: what they read is live.
 */
static void mark_live(struct lsm *db, const struct account *a, struct marking *m)
{
    uint64_t held = 0;
    struct view *v;
    size_t i;

    rwlock_write(&db->values);
    mutex_lock(&db->state_mu);
    mark_view(atomic_load(&db->view), m);
    for (v = db->replaced; v; v = v->next)
        mark_view(v, m);
    for (i = 0; i < m->n; i++) {
        if (db_is_moved_to_locked(db, &m->list[i]))
            m->live[i] = true;
        else if (m->live[i] && !m->list[i].active && !a->marked[i] && !a->uses[i].live)
            held += m->list[i].size;
    }
    mutex_unlock(&db->state_mu);
    rwlock_unlock(&db->values);
    atomic_store(&db->space_held, held);
}

static int find_dead(struct lsm *db, struct edit *e)
{
    struct view *view = db_view_ref(db);
    struct account a = {0};
    struct marking m = {0};
    size_t i;
    int rc = account_make(db, view->version, view, NULL, &a);

    db_view_unref(view);
    if (!rc && !(m.live = calloc(a.n + 1, sizeof(*m.live))))
        rc = -ENOMEM;
    if (!rc) {
        m.list = a.list;
        m.n = a.n;
        mark_live(db, &a, &m);
    }
    for (i = 0; i < a.n && !rc; i++)
        if (!a.list[i].active && !m.live[i])
            rc = edit_drop_segment(e, a.list[i].number);
    free(m.live);
    account_release(&a);
    return rc;
}

/*
 * The manifest first: a segment that it expects must be there. Under one lock, or an
 * edit in between would note the segment as sealed again.
 */
static int drop(struct lsm *db, struct edit *e, uint64_t *sizes)
{
    size_t i;
    int rc;

    mutex_lock(&db->manifest_mu);
    rc = db_install_locked(db, e, NULL);
    for (i = 0; i < e->n_dropped && !rc; i++)
        rc = vlog_forget_segment(db->vlog, e->dropped[i], &sizes[i]);
    mutex_unlock(&db->manifest_mu);
    return rc;
}

void db_purge_segments(struct lsm *db)
{
    struct edit e = {0};
    uint64_t *sizes = NULL;
    size_t i;
    int rc = find_dead(db, &e);

    if (!rc && e.n_dropped && (sizes = calloc(e.n_dropped, sizeof(*sizes))))
        rc = drop(db, &e, sizes);
    for (i = 0; i < e.n_dropped && sizes && !rc; i++) {
        KILL_POINT("segment-dropped");
        vlog_unlink_segment(db->vlog, e.dropped[i], sizes[i]); /* or the next open does */
    }
    free(sizes);
    edit_release(&e);
}
