/*
 * db_compact.c - carrying out compactions: choosing and marking them, their inputs,
 * the parts of large ones, the edit.
 *
 * A large compaction is shared out by key into parts of like size, each with its own
 * inputs, outputs and edit; idle workers take parts before they look for other work,
 * so that no more threads compact than there are workers (RocksDB's subcompactions).
 * One edit makes all outputs part of the store, or none.
 */
#include <stdlib.h>

#include "covered.h"
#include "db_impl.h"

enum {
    PART_TABLES = 2,  /* a part is worth so many tables' bytes */
    SAMPLES = 24,     /* keys looked at for each part, to share out alike */
    RETRY_S = 30,     /* after a failed compaction */
    RETRY_FULL_S = 1, /* where the disk was full */
};

struct part {
    struct slice lower, upper;
    struct compact_job job;
    struct edit e;
    int rc;
};

struct split {
    struct lsm *db;
    struct version *v;
    struct compaction *c;
    struct range_list ranges;        /* of all inputs */
    struct buf bound[PARTS_MAX - 1]; /* user keys, ascending */
    struct part part[PARTS_MAX];
    unsigned n;
    unsigned taken, done; /* under state_mu */
    struct split *next;
};

/* ---- inputs ---- */

static void set_compacting_locked(struct compaction *c, bool on)
{
    unsigned level;
    size_t i;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < c->n[level]; i++)
            c->inputs[level][i]->compacting = on;
}

static int gather_ranges(struct split *s)
{
    unsigned level;
    size_t i;
    int rc = 0;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < s->c->n[level] && !rc; i++)
            rc = range_list_add(&s->ranges, s->c->inputs[level][i]);
    return rc;
}

/* The points of all inputs, merged, up to the user key upper (NULL: all). */
static int open_inputs(const struct compaction *c, const struct slice *upper,
                       struct iter **out)
{
    struct iter **child = calloc(c->n[0] + LSM_LEVELS, sizeof(*child));
    struct merge *m;
    unsigned n = 0, level;
    size_t i;
    int rc = child ? 0 : -ENOMEM;

    for (i = 0; i < c->n[0] && !rc; i++) {
        rc = tfile_iter(c->inputs[0][i], TABLE_ITER_COMPACT, &child[n]);
        n += rc == 0;
    }
    for (level = 1; level < LSM_LEVELS && !rc; level++) {
        if (!c->n[level])
            continue;
        child[n] =
            level_iter_new(c->inputs[level], c->n[level], TABLE_ITER_COMPACT, upper);
        rc = child[n] ? 0 : -ENOMEM;
        n += rc == 0;
    }
    if (rc) {
        while (n)
            iter_free(child[--n]);
        free(child);
        return rc;
    }
    m = merge_new(child, n);
    free(child);
    *out = m ? merge_iter(m) : NULL;
    return m ? 0 : -ENOMEM;
}

/* ---- sharing out ---- */

struct sample {
    struct buf user;
    uint64_t weight; /* bytes of input that it stands for */
};

struct samples {
    struct sample *list;
    size_t n, cap;
};

static int by_user(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return slice_cmp(buf_slice(&x->user), buf_slice(&y->user));
}

static int add_sample(struct samples *s, struct slice user, uint64_t weight)
{
    struct sample *at;

    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 64;
        void *p = realloc(s->list, cap * sizeof(*s->list));

        if (!p)
            return -ENOMEM;
        s->list = p;
        s->cap = cap;
    }
    at = &s->list[s->n++];
    *at = (struct sample){.weight = weight};
    buf_assign(&at->user, user);
    return buf_error(&at->user);
}

/* Keys spread evenly over a table, one for each `step` bytes of it. */
static int sample_table(struct samples *s, struct tfile *f, uint64_t step)
{
    unsigned n = (unsigned)(f->meta.size / (step + 1)) + 1, i;
    struct table *t;
    int rc;

    if (n == 1)
        return add_sample(s, buf_slice(&f->meta.smallest), f->meta.size);
    rc = tfile_pin(f, TABLE_ITER_COMPACT, &t);
    if (rc)
        return rc;
    for (i = 0; i < n && !rc; i++)
        rc = add_sample(s, table_key_near(t, i, n), f->meta.size / n);
    tfile_unpin(f);
    return rc;
}

/* Bounds between `parts` parts of like size; fewer when keys are too few. */
static int choose_bounds(struct split *s, unsigned parts)
{
    uint64_t total = compaction_bytes(s->c), sum = 0;
    struct samples all = {0};
    unsigned level, n = 0;
    size_t i;
    int rc = 0;

    for (level = 0; level < LSM_LEVELS; level++)
        for (i = 0; i < s->c->n[level] && !rc; i++)
            rc = sample_table(&all, s->c->inputs[level][i], total / (parts * SAMPLES));
    if (!rc && all.n)
        qsort(all.list, all.n, sizeof(*all.list), by_user);
    for (i = 0; i < all.n && !rc && n + 1 < parts; i++) {
        struct slice user = buf_slice(&all.list[i].user);

        if (sum >= total / parts * (n + 1) && i > 0 &&
            slice_cmp(user, buf_slice(&all.list[0].user)) > 0 &&
            (!n || slice_cmp(user, buf_slice(&s->bound[n - 1])) > 0)) {
            buf_assign(&s->bound[n], user);
            rc = buf_error(&s->bound[n++]);
        }
        sum += all.list[i].weight;
    }
    s->n = n + 1;
    for (i = 0; i < all.n; i++)
        buf_release(&all.list[i].user);
    free(all.list);
    return rc;
}

static int plan_parts(struct split *s)
{
    uint64_t part_bytes = (uint64_t)PART_TABLES * s->db->o.table_bytes;
    uint64_t parts = compaction_bytes(s->c) / part_bytes;
    int rc = 0;

    if (parts > s->db->o.parts_max)
        parts = s->db->o.parts_max;
    if (parts > PARTS_MAX)
        parts = PARTS_MAX;
    s->n = 1;
    if (parts > 1)
        rc = choose_bounds(s, (unsigned)parts);
    return rc;
}

/* ---- doing ---- */

/* The outputs and the result are left in part i. */
static void run_part(struct split *s, unsigned i)
{
    struct part *p = &s->part[i];

    p->job = (struct compact_job){
        .db = s->db,
        .ranges = s->ranges.list,
        .n_ranges = s->ranges.n,
        .output_level = s->c->output_level,
        .version = s->v,
        .c = s->c,
        .e = &p->e,
    };
    if (i > 0) {
        p->lower = buf_slice(&s->bound[i - 1]);
        p->job.lower = &p->lower;
    }
    if (i + 1 < s->n) {
        p->upper = buf_slice(&s->bound[i]);
        p->job.upper = &p->upper;
    }
    p->rc = open_inputs(s->c, p->job.upper, &p->job.input);
    if (!p->rc)
        p->rc = compact_run(&p->job);
    iter_free(p->job.input);
    p->job.input = NULL;
}

/* Take the next part and do it. Drops and takes state_mu. */
static void take_part_locked(struct split *s)
{
    struct lsm *db = s->db;
    unsigned i = s->taken++;
    struct split **at;

    if (s->taken == s->n) {
        for (at = &db->splits; *at != s; at = &(*at)->next)
            ;
        *at = s->next;
    }
    mutex_unlock(&db->state_mu);
    run_part(s, i);
    mutex_lock(&db->state_mu);
    s->done++;
    pthread_cond_broadcast(&db->room);
}

bool db_help_locked(struct lsm *db)
{
    if (!db->splits)
        return false;
    take_part_locked(db->splits);
    return true;
}

static void run_parts(struct split *s)
{
    struct lsm *db = s->db;

    mutex_lock(&db->state_mu);
    s->next = db->splits;
    db->splits = s;
    if (s->n > 1) {
        atomic_fetch_add(&db->count.parts, s->n);
        db_bg_wake_locked(db);
    }
    while (s->taken < s->n)
        take_part_locked(s);
    while (s->done < s->n)
        cond_wait(&db->room, &db->state_mu);
    mutex_unlock(&db->state_mu);
}

/* All outputs into one edit; what a failed part leaves is removed. */
static int join_parts(struct split *s, struct edit *e)
{
    struct lsm *db = s->db;
    bool moved = false;
    unsigned i;
    size_t k;
    int rc = 0;

    for (i = 0; i < s->n; i++) {
        struct part *p = &s->part[i];

        moved |= p->job.moved > 0;
        s->c->moved_bytes += p->job.moved;
        rc = rc ? rc : p->rc;
        for (k = 0; k < p->e.n_added && !rc; k++)
            rc = edit_add_table(e, p->e.added[k].level, &p->e.added[k].meta);
        atomic_fetch_add(&db->count.compact_written, p->job.written);
        atomic_fetch_add(&db->count.moved_bytes, p->job.moved);
        atomic_fetch_add(&db->count.level_written[s->c->output_level], p->job.written);
    }
    if (!rc && (moved || e->n_added))
        rc = compact_make_durable(db, moved);
    for (i = 0; i < s->n; i++) {
        if (rc)
            compact_undo(db, &s->part[i].e);
        edit_release(&s->part[i].e);
    }
    if (rc)
        compact_undo(db, e);
    return rc;
}

static int run_merge(struct lsm *db, struct version *v, struct compaction *c,
                     struct edit *e)
{
    struct split s = {.db = db, .v = v, .c = c};
    unsigned i;
    int rc;

    range_list_init(&s.ranges);
    rc = gather_ranges(&s);
    if (!rc)
        rc = plan_parts(&s);
    if (!rc) {
        run_parts(&s);
        rc = join_parts(&s, e);
    }
    for (i = 0; i < PARTS_MAX - 1; i++)
        buf_release(&s.bound[i]);
    range_list_release(&s.ranges);
    return rc;
}

/* ---- a compaction ---- */

static int edit_removals(struct lsm *db, struct compaction *c, struct edit *e)
{
    unsigned level;
    size_t i;
    int rc = 0;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < c->n[level] && !rc; i++) {
            const struct table_meta *m = &c->inputs[level][i]->meta;

            rc = edit_remove_table(e, level, m->number);
            if (c->move || c->drop)
                continue;
            atomic_fetch_add(&db->count.compact_read, m->size);
            atomic_fetch_add(&db->count.level_read[level], m->size);
        }
    }
    return rc;
}

static int run_move(struct compaction *c, struct edit *e)
{
    struct table_meta copy = {0};
    int rc = table_meta_copy(&copy, &c->inputs[c->level][0]->meta);

    if (!rc)
        rc = edit_add_table(e, c->output_level, &copy);
    table_meta_release(&copy);
    return rc;
}

static void count_one(struct lsm *db, const struct compaction *c)
{
    if (c->move)
        atomic_fetch_add(&db->count.moves, 1);
    else if (c->drop)
        atomic_fetch_add(&db->count.dropped_tables, compaction_tables(c));
    else
        atomic_fetch_add(&db->count.compactions, 1);
}

/* Carry it out and make the result part of the store; a failed one leaves no file. */
static int carry_out(struct lsm *db, struct version *v, struct compaction *c)
{
    uint64_t start = env_now_ns(db->env);
    struct edit e = {0};
    bool unsure = false;
    int rc = 0;

    if (c->move)
        rc = run_move(c, &e);
    else if (!c->drop)
        rc = run_merge(db, v, c, &e);
    if (!rc)
        rc = edit_removals(db, c, &e);
    KILL_POINT("compaction-made");
    if (!rc) {
        rc = db_install(db, &e, NULL);
        unsure = rc != -ENOSPC; /* the edit may have reached the disk */
    }
    if (rc && !unsure && !c->move) /* what moves is there, whatever becomes of it */
        compact_undo(db, &e);
    KILL_POINT("compaction-installed");
    if (!rc)
        count_one(db, c);
    if (!rc && !c->move && !c->drop)
        db_took(db, LSM_TIME_COMPACTION, env_now_ns(db->env) - start);
    edit_release(&e);
    return rc;
}

/* c is over, with rc. True: that is news, to be told once and not at every try. */
static bool end_locked(struct lsm *db, struct compaction *c, int rc, bool known_damage)
{
    bool news = rc != db->compact_error && rc != -ECANCELED && rc != -EROFS;

    set_compacting_locked(c, false);
    db->compactions_running--;
    if (c->victims.n)
        db_moving_end_locked(db, c->moving_floor);
    if (c->reason == PICK_GARBAGE)
        db->collecting = false;
    if (rc != -ECANCELED)
        db->compact_error = rc;
    if (rc && rc != -ECANCELED) {
        atomic_fetch_add(&db->count.failures, 1);
        if (!known_damage)
            db->retry_at_ns = env_now_ns(db->env) +
                              (rc == -ENOSPC ? RETRY_FULL_S : RETRY_S) * 1000000000ull;
    }
    db_bg_wake_locked(db);
    pthread_cond_broadcast(&db->room);
    return news;
}

int db_compact_one(struct lsm *db, struct version *v, struct compaction *c)
{
    int rc = carry_out(db, v, c);
    bool news, known_damage = false;
    uint64_t moved;

    if (rc == -ENOSPC) {
        (void)vlog_retire_moved(db->vlog); /* else it is garbage until it is full */
        db_reserve_release(db);
    }
    /* Of a table that is known to be the reason that is all: others go on at once. */
    if (rc == -EUCLEAN || rc == -EIO)
        known_damage = db_find_damage(db, c) > 0;
    mutex_lock(&db->state_mu);
    news = end_locked(db, c, rc, known_damage);
    mutex_unlock(&db->state_mu);
    moved = c->moved_bytes;
    compaction_release(c);
    version_unref(v);
    /* At once: what it emptied takes room that writers may wait for. */
    db_purge(db);
    atomic_fetch_sub(&db->space_moving, moved);
    mutex_lock(&db->state_mu);
    pthread_cond_broadcast(&db->room);
    mutex_unlock(&db->state_mu);
    if (news && rc)
        err_log("%s: a compaction failed: %s; it will be tried again, and loses nothing",
                db->dir, strerror(-rc));
    else if (news)
        err_log("%s: compactions go on", db->dir);
    return rc;
}

/* ---- choosing ---- */

/* They were chosen before the disk got full. */
static bool victims_are_stale_locked(const struct lsm *db)
{
    return db->victims_count != atomic_load(&db->room_count);
}

/*
 * Garbage goes first, one compaction at a time, or a steady load would never let
 * it come to it; the other workers see to the levels meanwhile.
 */
static int choose_work(struct lsm *db, const struct version *v, bool full,
                       struct compaction *c)
{
    struct pick_options o = db_pick_options(db);
    bool stale = victims_are_stale_locked(db);
    int rc = 0;

    if (full)
        return pick_full(v, &o, c);
    if (!db->collecting && !stale)
        rc = vlog_gc_pick(v, &o, &db->victims, c);
    /* Only damaged tables point to what is left of them, as it turned out after the last
     * account: nobody can empty them, and writers are not to wait for it. */
    if (!rc && !c->reason && !db->compactions_running && !stale)
        segment_set_release(&db->victims);
    return rc || c->reason ? rc : pick_compaction(v, &o, c);
}

/* c moves values of what are victims now. */
static int note_moving_locked(struct lsm *db, struct compaction *c)
{
    int rc = c->move || victims_are_stale_locked(db)
                 ? 0
                 : segment_set_copy(&c->victims, &db->victims);

    if (!rc && c->victims.n)
        rc = db_moving_begin_locked(db, &c->moving_floor);
    if (rc)
        segment_set_release(&c->victims);
    return rc;
}

bool db_paused_locked(struct lsm *db)
{
    return env_now_ns(db->env) < db->retry_at_ns;
}

/* Choose one and mark its inputs. False: nothing to do. *v is referenced. */
bool db_choose_locked(struct lsm *db, bool full, struct version **v, struct compaction *c)
{
    int rc;

    memset(c, 0, sizeof(*c));
    if (atomic_load(&db->error))
        return false;
    *v = atomic_load(&db->view)->version;
    rc = choose_work(db, *v, full, c);
    if (!rc && c->reason)
        rc = note_moving_locked(db, c);
    if (rc || c->reason == PICK_NOTHING) {
        compaction_release(c);
        return false;
    }
    version_ref(*v);
    set_compacting_locked(c, true);
    db->compactions_running++;
    if (c->reason == PICK_GARBAGE)
        db->collecting = true;
    return true;
}

/* ---- tables that nobody can see ---- */

/* Of c, what is still in the current version and nobody compacts, is marked. */
static void claim_locked(struct lsm *db, const struct version *v, struct compaction *c)
{
    const struct version *now = atomic_load(&db->view)->version;
    unsigned level;
    size_t i, kept;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = kept = 0; i < c->n[level]; i++)
            if (now == v && !c->inputs[level][i]->compacting)
                c->inputs[level][kept++] = c->inputs[level][i];
        c->n[level] = kept;
    }
    if (!compaction_tables(c))
        return;
    for (level = 0; !c->n[level]; level++)
        ;
    c->level = c->output_level = level;
    set_compacting_locked(c, true);
    db->compactions_running++;
}

int db_drop_covered(struct lsm *db)
{
    struct view *view = db_view_ref(db);
    struct version *v = view->version;
    struct compaction c = {0};
    uint64_t *snaps = NULL;
    unsigned level;
    size_t n;
    int rc = 0;

    for (level = 0; level < LSM_LEVELS && !v->has_ranges[level]; level++)
        ;
    if (level < LSM_LEVELS)
        rc = db_snapshots(db, &snaps, &n);
    if (snaps)
        rc = covered_find(v, snaps, n, &c);
    free(snaps);
    version_ref(v);
    db_view_unref(view);
    if (rc || !c.drop) {
        version_unref(v);
        return rc;
    }
    mutex_lock(&db->state_mu);
    claim_locked(db, v, &c);
    if (atomic_load(&db->view)->version != v)
        atomic_store(&db->covered_due, true); /* look again */
    mutex_unlock(&db->state_mu);
    if (compaction_tables(&c))
        return db_compact_one(db, v, &c);
    compaction_release(&c);
    version_unref(v);
    return 0;
}
