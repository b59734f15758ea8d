/*
 * stats_text.c - statistics for people.
 */
#include <inttypes.h>
#include <string.h>

#include "stats_impl.h"

enum { SEGMENTS_SHOWN = 5 };

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
    struct lsm_level_stats sum = {0};
    unsigned i;

    fprintf(
        out,
        "level  tables        MiB     target  score   read MiB  written MiB  w-amp\n");
    for (i = 0; i < LSM_LEVELS; i++) {
        const struct lsm_level_stats *l = &s->level[i];

        fprintf(out, "L%u   %8u %10.1f %10.1f %6.2f %10.1f %12.1f %6.2f\n", i, l->tables,
                mib(l->bytes), mib(l->target_bytes), l->score, mib(l->read_bytes),
                mib(l->written_bytes), l->write_amp);
        sum.tables += l->tables;
        sum.bytes += l->bytes;
        sum.read_bytes += l->read_bytes;
        sum.written_bytes += l->written_bytes;
        sum.write_amp += l->write_amp;
    }
    fprintf(out, "sum  %8u %10.1f %10s %6s %10.1f %12.1f %6.2f\n", sum.tables,
            mib(sum.bytes), "", "", mib(sum.read_bytes), mib(sum.written_bytes),
            sum.write_amp);
}

static void print_segments(const struct lsm_stats *s, FILE *out)
{
    unsigned i;

    fprintf(
        out,
        "value log %" PRIu64 " segments, %.1f MiB, referred to %.1f MiB, garbage %.1f "
        "MiB (%.1f %%), moved %.1f MiB\n",
        s->segments, mib(s->segment_bytes), mib(s->segment_live), mib(s->segment_garbage),
        percent(s->segment_garbage, s->segment_bytes), mib(s->moved_bytes));
    for (i = 0; i < s->segments_listed && i < SEGMENTS_SHOWN && s->segment[i].garbage;
         i++)
        fprintf(out, "  segment %" PRIu64 ": %.1f MiB, garbage %.1f MiB (%.1f %%)\n",
                s->segment[i].number, mib(s->segment[i].size), mib(s->segment[i].garbage),
                percent(s->segment[i].garbage, s->segment[i].size));
}

static void print_holding(const struct lsm_stats *s, FILE *out)
{
    fprintf(out, "entries %" PRIu64 ", tombstones %" PRIu64 "\n", s->entries,
            s->tombstones);
    fprintf(out, "memtables %u, %.1f MiB; logs %.1f MiB\n", s->memtables,
            mib(s->memtable_bytes), mib(s->wal_bytes));
    print_segments(s, out);
    fprintf(out, "on disk %.1f MiB, live about %.1f MiB: space amplification %.2f\n",
            mib(s->disk_bytes), mib(s->live_bytes), s->space_amp);
    fprintf(out,
            "memory %.1f MiB: memtables %.1f, open tables %.1f (%" PRIu64
            " open; %" PRIu64 " opened, %" PRIu64 " closed), work %.1f, blocks %.1f\n",
            mib(s->memory_bytes), mib(s->memory_memtables), mib(s->memory_tables),
            s->tables_open, s->tables_opened, s->tables_closed, mib(s->memory_work),
            mib(s->cache_bytes));
}

static void print_disk_cache(const struct lsm_stats *s, FILE *out)
{
    if (!s->disk_cache_limit && !s->disk_cache_hits && !s->disk_cache_misses)
        return;
    fprintf(
        out,
        "  local cache: %.1f %% hits, %.1f MiB from it, %.1f MiB from the store; holds "
        "%.1f of %.1f MiB%s\n",
        percent(s->disk_cache_hits, s->disk_cache_hits + s->disk_cache_misses),
        mib(s->disk_cache_hit_bytes), mib(s->disk_cache_fetched_bytes),
        mib(s->disk_cache_bytes), mib(s->disk_cache_limit),
        s->disk_cache_limit ? "" : " (TURNED OFF)");
    if (s->disk_cache_skipped || s->disk_cache_damaged)
        fprintf(out,
                "    %" PRIu64 " blocks not kept, its disk being behind; %" PRIu64
                " damaged, fetched again\n",
                s->disk_cache_skipped, s->disk_cache_damaged);
}

static void print_reading(const struct lsm_stats *s, FILE *out)
{
    fprintf(out,
            "  %" PRIu64 " gets (%.1f %% found), %" PRIu64 " seeks, %" PRIu64
            " steps, %" PRIu64 " jumps over deleted runs\n",
            s->gets, percent(s->get_hits, s->gets), s->seeks, s->nexts, s->gap_jumps);
    fprintf(out, "  tables searched per get: %.2f\n", s->read_amp);
    fprintf(
        out,
        "  filters: %" PRIu64 " asked, %.1f %% said no, %" PRIu64 " wrong (%.2f %%)\n",
        s->filter_checked, percent(s->filter_rejected, s->filter_checked),
        s->filter_false, percent(s->filter_false, s->filter_rejected + s->filter_false));
    fprintf(out, "  block cache: %.1f %% hits, %.1f MiB\n",
            percent(s->cache_hits, s->cache_hits + s->cache_misses), mib(s->cache_bytes));
    print_disk_cache(s, out);
}

static void print_writing(const struct lsm_stats *s, FILE *out)
{
    fprintf(out,
            "  written %.1f MiB for %.1f MiB of users' bytes: write amplification %.2f\n",
            mib(s->written_bytes), mib(s->user_bytes), s->write_amp);
    fprintf(out, "    logs %.1f, value log %.1f, flushes %.1f, compactions %.1f MiB\n",
            mib(s->wal_written_bytes), mib(s->vlog_written_bytes), mib(s->flush_bytes),
            mib(s->compact_written_bytes));
    fprintf(out,
            "  %" PRIu64 " flushes, %" PRIu64 " compactions (read %.1f MiB), %" PRIu64
            " moves\n",
            s->flushes, s->compactions, mib(s->compact_read_bytes), s->moves);
    fprintf(out, "  %" PRIu64 " stalls, %.1f ms in all, longest %.1f ms\n", s->stalls,
            (double)s->stall_ns / 1e6, (double)s->stall_max_ns / 1e6);
}

static void print_duration(uint64_t ns, FILE *out)
{
    static const char *const unit[] = {"ns", "us", "ms", "s"};
    double x = (double)ns;
    unsigned i = 0;

    for (; x >= 1000 && i < 3; i++)
        x /= 1000;
    fprintf(out, " %7.*f %-2s", i && x < 100 ? 1 : 0, x, unit[i]);
}

static void print_times(const struct lsm_stats *s, FILE *out)
{
    unsigned i;

    fprintf(out, "  %-10s %10s %10s %10s %10s %10s %10s %10s\n", "duration", "measured",
            "mean", "p50", "p90", "p99", "p99.9", "longest");
    for (i = 0; i < LSM_TIMED; i++) {
        const struct lsm_times *t = &s->time[i];

        if (!t->count)
            continue;
        fprintf(out, "  %-10s %10" PRIu64, lsm_timed_name(i), t->count);
        print_duration(t->sum_ns / t->count, out);
        print_duration(t->p50_ns, out);
        print_duration(t->p90_ns, out);
        print_duration(t->p99_ns, out);
        print_duration(t->p999_ns, out);
        print_duration(t->max_ns, out);
        if (t->sample_every > 1)
            fprintf(out, " (one in %u)", t->sample_every);
        fprintf(out, "\n");
    }
}

void lsm_print_stats(const struct lsm_stats *s, FILE *out)
{
    print_levels(s, out);
    print_holding(s, out);
    fprintf(out,
            "since open: %" PRIu64 " batches, %" PRIu64 " puts, %" PRIu64
            " deletes, %" PRIu64 " range deletes, %" PRIu64 " syncs\n",
            s->batches, s->puts, s->deletes, s->range_deletes, s->syncs);
    print_reading(s, out);
    print_writing(s, out);
    print_times(s, out);
    fprintf(out,
            "recovery: %" PRIu64 " logs, %" PRIu64 " batches, %" PRIu64
            " bytes replayed, %" PRIu64 " bytes torn, open took %.1f ms\n",
            s->recovered_logs, s->recovered_batches, s->recovered_bytes, s->torn_bytes,
            (double)s->recovery_ns / 1e6);
    fprintf(out, "sequence %" PRIu64 "\n", s->sequence);
    if (s->disk_full)
        fprintf(out, "DISK FULL: only deleting is possible until there is room\n");
    if (s->damaged_tables)
        fprintf(out,
                "DAMAGED: %" PRIu64
                " tables cannot be compacted; what can be read of them "
                "is read. fsck --repair (lsm_repair) makes the store anew\n",
                s->damaged_tables);
    if (s->unreadable_tables)
        fprintf(out,
                "UNREADABLE: %" PRIu64
                " tables, by the disk (input/output error): they are not compacted until "
                "it reads them\n",
                s->unreadable_tables);
    if (s->background_error)
        fprintf(
            out,
            "READ-ONLY after an error: %s. What was synced is safe; look at the disk, "
            "then open (mount) it again\n",
            strerror(-s->background_error));
    else if (s->retry_error)
        fprintf(out,
                "FAILING: the last flush or compaction: %s (%" PRIu64
                " so far). It is tried again; nothing is lost\n",
                strerror(-s->retry_error), s->failures);
}
