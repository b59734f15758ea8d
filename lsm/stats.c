/*
 * stats.c - what lsm_get_stats tells.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "db_impl.h"

static void add_slots(struct lsm *db, struct lsm_stats *s)
{
    unsigned i;

    for (i = 0; i < SLOTS; i++) {
        struct slot *slot = &db->slot[i];

        s->gets += atomic_load_explicit(&slot->gets, memory_order_relaxed);
        s->get_hits += atomic_load_explicit(&slot->hits, memory_order_relaxed);
        s->seeks += atomic_load_explicit(&slot->seeks, memory_order_relaxed);
        s->nexts += atomic_load_explicit(&slot->nexts, memory_order_relaxed);
        s->gap_jumps += atomic_load_explicit(&slot->gap_jumps, memory_order_relaxed);
        s->filter_checked +=
            atomic_load_explicit(&slot->filter_checked, memory_order_relaxed);
        s->filter_rejected +=
            atomic_load_explicit(&slot->filter_rejected, memory_order_relaxed);
        s->filter_false += atomic_load_explicit(&slot->filter_false, memory_order_relaxed);
    }
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
        l->read_bytes = atomic_load(&db->count.level_read[level]);
        l->written_bytes = atomic_load(&db->count.level_written[level]);
        s->disk_bytes += l->bytes;
        for (i = 0; i < v->n[level]; i++) {
            const struct table_meta *m = &v->file[level][i]->meta;

            s->entries += m->entries;
            s->tombstones += m->deletes + m->range_deletes;
        }
    }
}

struct summing {
    const struct vlog_segment *list;
    size_t n;
    uint64_t live;
};

static void add_live(void *arg, uint64_t segment, uint64_t bytes)
{
    struct summing *sum = arg;

    (void)segment;
    sum->live += bytes;
}

static void add_segments(struct lsm *db, struct lsm_stats *s)
{
    struct vlog_segment *list = NULL;
    struct summing sum = {0};
    size_t n, i;

    if (vlog_segments(db->vlog, &list, &n))
        return;
    s->segments = n;
    for (i = 0; i < n; i++)
        s->segment_bytes += list[i].size;
    free(list);
    table_cache_segments(&db->tables, add_live, &sum);
    s->segment_live = sum.live;
    s->disk_bytes += s->segment_bytes;
}

static void add_logs(struct lsm *db, struct lsm_stats *s)
{
    struct log *log;

    mutex_lock(&db->sync_mu);
    for (log = db->logs; log; log = log->next)
        s->wal_bytes += log->wal ? wal_length(log->wal) : log->bytes;
    mutex_unlock(&db->sync_mu);
    s->disk_bytes += s->wal_bytes;
}

static void add_memory(struct lsm *db, struct lsm_stats *s)
{
    struct table_cache_stats ts;
    struct memory_use u;

    memory_get(&db->memory, &u);
    s->memory_bytes = u.budget;
    s->memory_memtables = u.used[MEMORY_MEMTABLES];
    s->memory_tables = u.used[MEMORY_TABLES];
    table_cache_get_stats(&db->tables, &ts);
    s->tables_open = ts.open;
    s->tables_opened = ts.opened;
    s->tables_closed = ts.closed;
}

static void add_counters(struct lsm *db, struct lsm_stats *s)
{
    struct counters *c = &db->count;
    struct cache_stats cs;

    s->user_bytes = atomic_load(&c->user_bytes);
    s->puts = atomic_load(&c->puts);
    s->deletes = atomic_load(&c->deletes);
    s->range_deletes = atomic_load(&c->range_deletes);
    s->batches = atomic_load(&c->batches);
    s->syncs = atomic_load(&c->syncs);
    s->flushes = atomic_load(&c->flushes);
    s->compactions = atomic_load(&c->compactions);
    s->moves = atomic_load(&c->moves);
    s->flush_bytes = atomic_load(&c->flush_bytes);
    s->compact_read_bytes = atomic_load(&c->compact_read);
    s->compact_written_bytes = atomic_load(&c->compact_written);
    s->written_bytes = atomic_load(&c->wal_bytes) + s->flush_bytes +
                       s->compact_written_bytes + vlog_written(db->vlog);
    s->moved_bytes = atomic_load(&c->moved_bytes);
    s->stalls = atomic_load(&c->stalls);
    s->stall_ns = atomic_load(&c->stall_ns);
    s->stall_max_ns = atomic_load(&c->stall_max_ns);
    cache_get_stats(db->cache, &cs);
    s->cache_hits = cs.hits;
    s->cache_misses = cs.misses;
    s->cache_bytes = cs.bytes;
    add_memory(db, s);
}

void lsm_get_stats(struct lsm *db, struct lsm_stats *s)
{
    struct view *v = db_view_ref(db);
    unsigned i;

    memset(s, 0, sizeof(*s));
    s->memtables = 1 + v->n_imm;
    s->memtable_bytes = memtable_bytes(v->mem);
    for (i = 0; i < v->n_imm; i++)
        s->memtable_bytes += memtable_bytes(v->imm[i]);
    add_levels(db, v->version, s);
    db_view_unref(v);
    add_segments(db, s);
    add_logs(db, s);
    add_slots(db, s);
    add_counters(db, s);
    s->recovered_logs = db->recovered_logs;
    s->recovered_batches = db->recovered_batches;
    s->recovered_bytes = db->recovered_bytes;
    s->torn_bytes = db->torn_bytes;
    s->recovery_ns = db->recovery_ns;
    s->sequence = atomic_load(&db->visible_seq);
    s->background_error = atomic_load(&db->error);
}

/* ---- for people ---- */

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_levels(const struct lsm_stats *s, FILE *out)
{
    unsigned i;

    fprintf(out, "level  tables        MiB     target  score   read MiB  written MiB\n");
    for (i = 0; i < LSM_LEVELS; i++) {
        const struct lsm_level_stats *l = &s->level[i];

        fprintf(out, "L%u   %8u %10.1f %10.1f %6.2f %10.1f %12.1f\n", i, l->tables,
                mib(l->bytes), mib(l->target_bytes), l->score, mib(l->read_bytes),
                mib(l->written_bytes));
    }
}

void lsm_print_stats(const struct lsm_stats *s, FILE *out)
{
    print_levels(s, out);
    fprintf(out, "entries %" PRIu64 ", tombstones %" PRIu64 "\n", s->entries,
            s->tombstones);
    fprintf(out, "memtables %u, %.1f MiB; logs %.1f MiB\n", s->memtables,
            mib(s->memtable_bytes), mib(s->wal_bytes));
    fprintf(out,
            "value log %" PRIu64 " segments, %.1f MiB, referred to %.1f MiB, moved %.1f MiB\n",
            s->segments, mib(s->segment_bytes), mib(s->segment_live),
            mib(s->moved_bytes));
    fprintf(out, "on disk %.1f MiB\n", mib(s->disk_bytes));
    fprintf(out,
            "memory %.1f MiB: memtables %.1f, open tables %.1f (%" PRIu64
            " open; %" PRIu64 " opened, %" PRIu64 " closed), blocks %.1f\n",
            mib(s->memory_bytes), mib(s->memory_memtables), mib(s->memory_tables),
            s->tables_open, s->tables_opened, s->tables_closed, mib(s->cache_bytes));
    fprintf(out,
            "since open: %" PRIu64 " batches, %" PRIu64 " puts, %" PRIu64
            " deletes, %" PRIu64 " range deletes, %" PRIu64 " syncs\n",
            s->batches, s->puts, s->deletes, s->range_deletes, s->syncs);
    fprintf(out,
            "  %" PRIu64 " gets (%.1f %% found), %" PRIu64 " seeks, %" PRIu64
            " steps, %" PRIu64 " jumps over deleted runs\n",
            s->gets, percent(s->get_hits, s->gets), s->seeks, s->nexts, s->gap_jumps);
    fprintf(out, "  filters: %" PRIu64 " asked, %.1f %% said no, %" PRIu64 " wrong\n",
            s->filter_checked, percent(s->filter_rejected, s->filter_checked),
            s->filter_false);
    fprintf(out, "  block cache: %.1f %% hits, %.1f MiB\n",
            percent(s->cache_hits, s->cache_hits + s->cache_misses), mib(s->cache_bytes));
    fprintf(out,
            "  written %.1f MiB for %.1f MiB of users' bytes: write amplification %.2f\n",
            mib(s->written_bytes), mib(s->user_bytes),
            s->user_bytes ? (double)s->written_bytes / (double)s->user_bytes : 0);
    fprintf(out,
            "  %" PRIu64 " flushes (%.1f MiB), %" PRIu64
            " compactions (read %.1f, wrote %.1f MiB), %" PRIu64 " moves\n",
            s->flushes, mib(s->flush_bytes), s->compactions, mib(s->compact_read_bytes),
            mib(s->compact_written_bytes), s->moves);
    fprintf(out, "  %" PRIu64 " stalls, %.1f ms in all, longest %.1f ms\n", s->stalls,
            (double)s->stall_ns / 1e6, (double)s->stall_max_ns / 1e6);
    fprintf(out,
            "recovery: %" PRIu64 " logs, %" PRIu64 " batches, %" PRIu64
            " bytes replayed, %" PRIu64 " bytes torn, open took %.1f ms\n",
            s->recovered_logs, s->recovered_batches, s->recovered_bytes, s->torn_bytes,
            (double)s->recovery_ns / 1e6);
    fprintf(out, "sequence %" PRIu64 "\n", s->sequence);
    if (s->background_error)
        fprintf(out, "READ-ONLY after an error: %s\n", strerror(-s->background_error));
}
