/*
 * stats.c - what lsm_get_stats tells.
 */
#include "db_impl.h"
#include "stats_impl.h"

static uint64_t load(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static double ratio(uint64_t a, uint64_t b)
{
    return b ? (double)a / (double)b : 0;
}

static void add_slots(const struct lsm *db, struct lsm_stats *s)
{
    unsigned i;

    for (i = 0; i <= SLOTS; i++) {
        const struct slot *slot = &db->slot[i];

        s->gets += load(&slot->calls[LSM_TIME_GET]);
        s->seeks += load(&slot->calls[LSM_TIME_SEEK]);
        s->nexts += load(&slot->calls[LSM_TIME_NEXT]);
        s->get_hits += load(&slot->hits);
        s->gap_jumps += load(&slot->gap_jumps);
        s->tables_searched += load(&slot->tables_searched);
        s->filter_checked += load(&slot->filter_checked);
        s->filter_rejected += load(&slot->filter_rejected);
        s->filter_false += load(&slot->filter_false);
    }
    s->read_amp = ratio(s->tables_searched, s->gets);
}

static void add_levels(struct lsm *db, const struct version *v, struct lsm_stats *s)
{
    struct pick_options o = db_pick_options(db);
    struct level_targets t;
    unsigned level;
    size_t i;

    pick_targets(v, &o, &t);
    for (level = 0; level < LSM_LEVELS; level++) {
        struct lsm_level_stats *l = &s->level[level];

        l->tables = (unsigned)v->n[level];
        l->bytes = v->bytes[level];
        l->target_bytes = t.bytes[level];
        l->score = pick_score(v, &o, &t, level);
        s->disk_bytes += l->bytes;
        for (i = 0; i < v->n[level]; i++) {
            const struct table_meta *m = &v->file[level][i]->meta;

            s->entries += m->entries;
            s->tombstones += m->deletes + m->range_deletes;
        }
    }
}

/* Does a deeper level hold keys of this table's range, or an older table of L0? */
static bool stands_above(const struct version *v, unsigned level, size_t i)
{
    const struct table_meta *m = &v->file[level][i]->meta;
    struct key_range r;
    size_t first, end;

    key_range_of(&r, m);
    for (i++; level == 0 && i < v->n[0]; i++)
        if (table_ranges_overlap(m, &v->file[0][i]->meta))
            return true;
    for (level++; level < LSM_LEVELS; level++) {
        version_overlap(v, level, &r, &first, &end);
        if (first < end)
            return true;
    }
    return false;
}

static uint64_t estimate_live(const struct version *v)
{
    uint64_t live = 0;
    unsigned level;
    size_t i, j;

    for (level = 0; level < LSM_LEVELS; level++) {
        for (i = 0; i < v->n[level]; i++) {
            const struct table_meta *m = &v->file[level][i]->meta;

            if (stands_above(v, level, i))
                continue;
            live += m->size;
            for (j = 0; j < m->n_refs; j++)
                live += m->refs[j].bytes;
        }
    }
    return live;
}

static void add_logs(struct lsm *db, struct lsm_stats *s)
{
    struct log *log;

    mutex_lock(&db->sync_mu);
    for (log = db->logs; log; log = log->next)
        s->wal_bytes += log->wal ? wal_length(log->wal) : log->bytes;
    mutex_unlock(&db->sync_mu);
}

static void add_memory(struct lsm *db, struct lsm_stats *s)
{
    struct table_cache_stats ts;
    struct memory_use u;

    memory_get(&db->memory, &u);
    s->memory_bytes = u.budget;
    s->memory_memtables = u.used[MEMORY_MEMTABLES];
    s->memory_tables = u.used[MEMORY_TABLES];
    s->memory_work = u.used[MEMORY_WORK];
    table_cache_get_stats(&db->tables, &ts);
    s->tables_open = ts.open;
    s->tables_opened = ts.opened;
    s->tables_closed = ts.closed;
}

static void add_disk_cache(struct lsm *db, struct lsm_stats *s)
{
    struct env_cache_stats c;

    env_cache_get_stats(db->env, &c);
    s->disk_cache_hits = c.hits;
    s->disk_cache_misses = c.misses;
    s->disk_cache_hit_bytes = c.hit_bytes;
    s->disk_cache_fetched_bytes = c.fetched_bytes;
    s->disk_cache_stored_bytes = c.stored_bytes;
    s->disk_cache_skipped = c.skipped;
    s->disk_cache_damaged = c.damaged;
    s->disk_cache_bytes = c.bytes;
    s->disk_cache_limit = c.limit_bytes;
}

static void add_counters(struct lsm *db, struct lsm_stats *s)
{
    struct counters *c = &db->count;
    struct cache_stats cs;

    s->user_bytes = load(&c->user_bytes);
    s->puts = load(&c->puts);
    s->deletes = load(&c->deletes);
    s->range_deletes = load(&c->range_deletes);
    s->batches = load(&c->batches);
    s->syncs = load(&c->syncs);
    s->flushes = load(&c->flushes);
    s->compactions = load(&c->compactions);
    s->moves = load(&c->moves);
    s->compaction_parts = load(&c->parts);
    s->dropped_tables = load(&c->dropped_tables);
    s->flush_bytes = load(&c->flush_bytes);
    s->compact_read_bytes = load(&c->compact_read);
    s->compact_written_bytes = load(&c->compact_written);
    s->wal_written_bytes = load(&c->wal_bytes);
    s->vlog_written_bytes = vlog_written(db->vlog);
    s->written_bytes = s->wal_written_bytes + s->vlog_written_bytes + s->flush_bytes +
                       s->compact_written_bytes;
    s->write_amp = ratio(s->written_bytes, s->user_bytes);
    s->moved_bytes = load(&c->moved_bytes);
    cache_get_stats(db->cache, &cs);
    s->cache_hits = cs.hits;
    s->cache_misses = cs.misses;
    s->cache_bytes = cs.bytes;
    add_disk_cache(db, s);
    add_memory(db, s);
}

static void add_levels_written(struct lsm *db, struct lsm_stats *s)
{
    unsigned level;

    for (level = 0; level < LSM_LEVELS; level++) {
        struct lsm_level_stats *l = &s->level[level];

        l->read_bytes = load(&db->count.level_read[level]);
        l->written_bytes = load(&db->count.level_written[level]);
        l->write_amp = ratio(l->written_bytes, s->user_bytes);
    }
}

/* ---- durations ---- */

const char *lsm_timed_name(enum lsm_timed what)
{
    static const char *const name[LSM_TIMED] = {
        [LSM_TIME_GET] = "get",     [LSM_TIME_WRITE] = "write",
        [LSM_TIME_SEEK] = "seek",   [LSM_TIME_NEXT] = "next",
        [LSM_TIME_FLUSH] = "flush", [LSM_TIME_COMPACTION] = "compaction",
        [LSM_TIME_SYNC] = "sync",   [LSM_TIME_STALL] = "stall",
    };

    return name[what];
}

static void add_times(const struct lsm *db, enum lsm_timed what, struct lsm_times *t)
{
    struct hist_sum h;
    unsigned i;

    db_get_times(db, what, &h);
    *t = (struct lsm_times){
        .count = h.count,
        .sum_ns = h.sum,
        .max_ns = h.max,
        .p50_ns = hist_quantile(&h, 0.5),
        .p90_ns = hist_quantile(&h, 0.9),
        .p99_ns = hist_quantile(&h, 0.99),
        .p999_ns = hist_quantile(&h, 0.999),
        .sample_every = db_sample_every[what],
    };
    for (i = 0; i < LSM_TIME_BOUNDS; i++)
        t->below[i] = hist_below(&h, LSM_TIME_BITS + i);
}

static void add_all_times(const struct lsm *db, struct lsm_stats *s)
{
    unsigned i;

    for (i = 0; i < LSM_TIMED; i++)
        add_times(db, i, &s->time[i]);
    s->stalls = s->time[LSM_TIME_STALL].count;
    s->stall_ns = s->time[LSM_TIME_STALL].sum_ns;
    s->stall_max_ns = s->time[LSM_TIME_STALL].max_ns;
}

void lsm_get_stats(struct lsm *db, struct lsm_stats *s)
{
    struct view *v;
    unsigned i;

    memset(s, 0, sizeof(*s));
    stats_add_segments(db, s);
    v = db_view_ref(db);
    s->memtables = 1 + v->n_imm;
    s->memtable_bytes = memtable_bytes(v->mem);
    for (i = 0; i < v->n_imm; i++)
        s->memtable_bytes += memtable_bytes(v->imm[i]);
    add_levels(db, v->version, s);
    s->live_bytes += estimate_live(v->version);
    db_view_unref(v);
    add_logs(db, s);
    s->disk_bytes += s->segment_bytes + s->wal_bytes;
    s->live_bytes += s->wal_bytes;
    s->space_amp = ratio(s->disk_bytes, s->live_bytes);
    add_slots(db, s);
    add_counters(db, s);
    add_levels_written(db, s);
    add_all_times(db, s);
    s->recovered_logs = db->recovered_logs;
    s->recovered_batches = db->recovered_batches;
    s->recovered_bytes = db->recovered_bytes;
    s->torn_bytes = db->torn_bytes;
    s->recovery_ns = db->recovery_ns;
    s->sequence = load(&db->publisher.visible);
    s->background_error = atomic_load(&db->error);
    s->failures = load(&db->count.failures);
    s->damaged_tables = load(&db->damaged_tables);
    s->unreadable_tables = load(&db->unreadable_tables);
    s->disk_full = atomic_load(&db->low_space);
    mutex_lock(&db->state_mu);
    s->retry_error = db->flush_error ? db->flush_error : db->compact_error;
    mutex_unlock(&db->state_mu);
}
