/*
 * report.c - see report.h.
 */
#include "report.h"

#include <inttypes.h>

/* ---- for people ---- */

void report_text(FILE *out, const struct fs_stats *fs, const struct lsm_stats *lsm)
{
    if (fs)
        fprintf(out,
                "filesystem: %" PRIu64 " inodes, %" PRIu64 " live in memory, %" PRIu64
                " orphans removed at this mount\n",
                fs->inodes, fs->live_inodes, fs->orphans_removed);
    lsm_print_stats(lsm, out);
}

/* ---- for programs ---- */

static void levels_json(FILE *out, const struct lsm_stats *s)
{
    fprintf(out, "    \"levels\": [\n");
    for (int i = 0; i < LSM_LEVELS; i++) {
        const struct lsm_level_stats *l = &s->level[i];

        fprintf(out,
                "      {\"level\": %d, \"tables\": %u, \"bytes\": %" PRIu64
                ", \"target_bytes\": %" PRIu64
                ", \"score\": %.3f, \"read_bytes\": %" PRIu64
                ", \"written_bytes\": %" PRIu64 "}%s\n",
                i, l->tables, l->bytes, l->target_bytes, l->score, l->read_bytes,
                l->written_bytes, i + 1 < LSM_LEVELS ? "," : "");
    }
    fprintf(out, "    ]\n");
}

static void engine_json(FILE *out, const struct lsm_stats *s)
{
    const struct {
        const char *name;
        uint64_t value;
    } field[] = {
#define FIELD(name) {#name, s->name}
        FIELD(entries),
        FIELD(tombstones),
        FIELD(memtable_bytes),
        FIELD(memtables),
        FIELD(wal_bytes),
        FIELD(segments),
        FIELD(segment_bytes),
        FIELD(segment_live),
        FIELD(disk_bytes),
        FIELD(user_bytes),
        FIELD(written_bytes),
        FIELD(gets),
        FIELD(get_hits),
        FIELD(puts),
        FIELD(deletes),
        FIELD(range_deletes),
        FIELD(seeks),
        FIELD(nexts),
        FIELD(batches),
        FIELD(syncs),
        FIELD(filter_checked),
        FIELD(filter_rejected),
        FIELD(filter_false),
        FIELD(cache_hits),
        FIELD(cache_misses),
        FIELD(cache_bytes),
        FIELD(flushes),
        FIELD(compactions),
        FIELD(moves),
        FIELD(flush_bytes),
        FIELD(compact_read_bytes),
        FIELD(compact_written_bytes),
        FIELD(stalls),
        FIELD(stall_ns),
        FIELD(stall_max_ns),
        FIELD(recovered_logs),
        FIELD(recovered_batches),
        FIELD(recovered_bytes),
        FIELD(torn_bytes),
        FIELD(recovery_ns),
        FIELD(sequence),
#undef FIELD
    };

    fprintf(out, "  \"engine\": {\n");
    for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
        fprintf(out, "    \"%s\": %" PRIu64 ",\n", field[i].name, field[i].value);
    fprintf(out, "    \"background_error\": %d,\n", -s->background_error);
    levels_json(out, s);
    fprintf(out, "  }\n");
}

void report_json(FILE *out, const struct fs_stats *fs, const struct lsm_stats *lsm)
{
    fprintf(out, "{\n");
    if (fs)
        fprintf(out,
                "  \"filesystem\": {\"inodes\": %" PRIu64 ", \"live_inodes\": %" PRIu64
                ", \"orphans_removed\": %" PRIu64 "},\n",
                fs->inodes, fs->live_inodes, fs->orphans_removed);
    engine_json(out, lsm);
    fprintf(out, "}\n");
}
