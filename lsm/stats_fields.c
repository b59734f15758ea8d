/*
 * stats_fields.c - one list of the numbers that programs get, so that none is in
 * one format and not in the other.
 */
#include "stats_impl.h"

#include <inttypes.h>

#define U64(f, metric, help)                                                             \
    {                                                                                    \
#f, metric, help, STATS_U64, offsetof(struct lsm_stats, f)                       \
    }
#define UNSIGNED(f, metric, help)                                                        \
    {                                                                                    \
#f, metric, help, STATS_UNSIGNED, offsetof(struct lsm_stats, f)                  \
    }
#define DOUBLE(f, metric, help)                                                          \
    {                                                                                    \
#f, metric, help, STATS_DOUBLE, offsetof(struct lsm_stats, f)                    \
    }

const struct stats_field stats_fields[] = {
    U64(entries, "entries", "Entries in tables, tombstones and old versions included."),
    U64(tombstones, "tombstones", "Tombstones in tables, points and ranges."),
    UNSIGNED(memtables, "memtables", "Memtables, active and waiting for a flush."),
    U64(memtable_bytes, "memtable_bytes", "Memory in memtables."),
    U64(wal_bytes, "wal_bytes", "Logs still needed."),
    U64(segments, "segments", "Segments of the value log."),
    U64(segment_bytes, "segments_bytes", "Size of all segments."),
    U64(segment_live, "segments_live_bytes", "Bytes of segments that tables refer to."),
    U64(segment_garbage, "segments_garbage_bytes",
        "Bytes of segments that nothing needs."),
    U64(disk_bytes, "disk_bytes", "Tables, segments and logs."),
    U64(live_bytes, "live_bytes", "Estimate of the bytes that are not overwritten."),
    U64(user_bytes, "user_bytes_total", "Keys and values given to be written."),
    U64(written_bytes, "written_bytes_total", "Written to disk."),
    U64(wal_written_bytes, "wal_written_bytes_total", "Written to logs."),
    U64(vlog_written_bytes, "vlog_written_bytes_total", "Written to segments."),
    U64(flush_bytes, "flush_bytes_total", "Written to tables by flushes."),
    U64(compact_written_bytes, "compact_written_bytes_total",
        "Written to tables by compactions."),
    U64(compact_read_bytes, "compact_read_bytes_total", "Read by compactions."),
    U64(moved_bytes, "moved_bytes_total", "Values moved out of segments to be emptied."),
    U64(gets, "gets_total", "Point reads."),
    U64(get_hits, "get_hits_total", "Point reads that found their key."),
    U64(seeks, "seeks_total", "Positionings of iterators."),
    U64(nexts, "nexts_total", "Steps of iterators."),
    U64(gap_jumps, "gap_jumps_total", "Jumps of iterators over runs of what is deleted."),
    U64(puts, "puts_total", "Puts, in batches too."),
    U64(deletes, "deletes_total", "Deletes."),
    U64(range_deletes, "range_deletes_total", "Range deletes."),
    U64(batches, "batches_total", "Batches applied."),
    U64(syncs, "syncs_total", "Syncs of log and value log."),
    U64(tables_searched, "tables_searched_total", "Tables that point reads searched."),
    U64(filter_checked, "filter_checked_total", "Filters asked by point reads."),
    U64(filter_rejected, "filter_rejected_total", "Filters that spared a search."),
    U64(filter_false, "filter_false_total", "Searches in vain that a filter let pass."),
    U64(cache_hits, "cache_hits_total", "Blocks found in the block cache."),
    U64(cache_misses, "cache_misses_total", "Blocks not found in the block cache."),
    U64(cache_bytes, "cache_bytes", "Memory in the block cache."),
    U64(disk_cache_hits, "disk_cache_hits_total",
        "Reads of blocks, or parts of them, that the local cache answered."),
    U64(disk_cache_misses, "disk_cache_misses_total", "Blocks that it had to fetch."),
    U64(disk_cache_hit_bytes, "disk_cache_hit_bytes_total", "Bytes read from it."),
    U64(disk_cache_fetched_bytes, "disk_cache_fetched_bytes_total",
        "Bytes of tables and segments read from the store through it."),
    U64(disk_cache_stored_bytes, "disk_cache_stored_bytes_total",
        "Bytes written to its directory."),
    U64(disk_cache_skipped, "disk_cache_skipped_total",
        "Blocks not kept, as its disk did not keep up."),
    U64(disk_cache_damaged, "disk_cache_damaged_total",
        "Blocks in it that failed their check; they were fetched again."),
    U64(disk_cache_bytes, "disk_cache_bytes", "Bytes of the blocks in it."),
    U64(disk_cache_limit, "disk_cache_limit_bytes",
        "Bytes that it may take; 0: there is none, or it is turned off."),
    U64(memory_bytes, "memory_budget_bytes", "Memory that the store may use."),
    U64(memory_memtables, "memory_memtables_bytes", "Of it, in memtables."),
    U64(memory_tables, "memory_tables_bytes", "Of it, in open tables: indexes, filters."),
    U64(memory_work, "memory_work_bytes", "Of it, in buffers of reads and compactions."),
    U64(tables_open, "tables_open", "Tables open."),
    U64(tables_opened, "tables_opened_total", "Tables opened."),
    U64(tables_closed, "tables_closed_total", "Tables closed for want of memory."),
    U64(flushes, "flushes_total", "Memtables written to tables."),
    U64(compactions, "compactions_total", "Compactions."),
    U64(moves, "moves_total", "Tables moved down without being rewritten."),
    U64(stalls, NULL, NULL),
    U64(stall_ns, NULL, NULL),
    U64(stall_max_ns, "stall_max_seconds", "Longest wait of a writer since open."),
    DOUBLE(write_amp, "write_amplification", "Bytes written per byte of the users."),
    DOUBLE(read_amp, "read_amplification", "Tables searched per point read."),
    DOUBLE(space_amp, "space_amplification", "Disk bytes over live bytes, an estimate."),
    U64(recovered_logs, "recovered_logs", "Logs replayed at open."),
    U64(recovered_batches, "recovered_batches", "Batches replayed at open."),
    U64(recovered_bytes, "recovered_bytes", "Bytes replayed at open."),
    U64(torn_bytes, "torn_bytes", "Bytes of torn log tails dropped at open."),
    U64(recovery_ns, "recovery_seconds", "How long opening took."),
    U64(sequence, "sequence", "Sequence number of the newest visible write."),
    {"background_error", "background_error",
     "errno that made the store read-only; 0: none.", STATS_ERRNO,
     offsetof(struct lsm_stats, background_error)},
    {"retry_error", "retry_error",
     "errno of the last flush or compaction, which is tried again; 0: it went well.",
     STATS_ERRNO, offsetof(struct lsm_stats, retry_error)},
    U64(failures, "failures_total", "Flushes and compactions that failed."),
    U64(damaged_tables, "damaged_tables", "Tables left out of compactions, for damage."),
    U64(unreadable_tables, "unreadable_tables",
        "Tables left out of compactions until the disk reads them."),
    UNSIGNED(disk_full, "disk_full", "1: the disk is full, only deleting is possible."),
};
const size_t stats_n_fields = sizeof(stats_fields) / sizeof(stats_fields[0]);

#define LEVEL(f, type, metric, help)                                                     \
    {                                                                                    \
#f, metric, help, type, offsetof(struct lsm_level_stats, f)                      \
    }

const struct stats_field stats_level_fields[] = {
    LEVEL(tables, STATS_UNSIGNED, "level_tables", "Tables of the level."),
    LEVEL(bytes, STATS_U64, "level_bytes", "Size of the level."),
    LEVEL(target_bytes, STATS_U64, "level_target_bytes", "Size the level may have."),
    LEVEL(score, STATS_DOUBLE, "level_score", "At 1 the level gets a compaction."),
    LEVEL(read_bytes, STATS_U64, "level_read_bytes_total",
          "Read from the level by compactions."),
    LEVEL(written_bytes, STATS_U64, "level_written_bytes_total", "Written to the level."),
    LEVEL(write_amp, STATS_DOUBLE, "level_write_amplification",
          "Bytes written to the level per byte of the users."),
};
const size_t stats_n_level_fields =
    sizeof(stats_level_fields) / sizeof(stats_level_fields[0]);

/* Not by %f, which follows the host program's locale. */
static void print_fixed(double x, FILE *out)
{
    double most = 1e12;
    uint64_t scaled;

    if (!(x >= 0))
        x = 0;
    scaled = (uint64_t)((x < most ? x : most) * 10000 + 0.5);
    fprintf(out, "%" PRIu64 ".%04u", scaled / 10000, (unsigned)(scaled % 10000));
}

void stats_print_number(const struct stats_field *f, const void *base, FILE *out)
{
    const void *at = (const char *)base + f->offset;

    switch (f->type) {
    case STATS_U64:
        fprintf(out, "%" PRIu64, *(const uint64_t *)at);
        break;
    case STATS_UNSIGNED:
        fprintf(out, "%u", *(const unsigned *)at);
        break;
    case STATS_DOUBLE:
        print_fixed(*(const double *)at, out);
        break;
    case STATS_ERRNO:
        fprintf(out, "%d", -*(const int *)at);
        break;
    }
}
