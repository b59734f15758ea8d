/*
 * stats_json.c - statistics as one JSON object.
 */
#include "stats_impl.h"

#include <inttypes.h>

static void print_levels(const struct lsm_stats *s, FILE *out)
{
    unsigned level;
    size_t i;

    fprintf(out, "  \"levels\": [");
    for (level = 0; level < LSM_LEVELS; level++) {
        fprintf(out, "%s\n    {\"level\": %u", level ? "," : "", level);
        for (i = 0; i < stats_n_level_fields; i++) {
            fprintf(out, ", \"%s\": ", stats_level_fields[i].name);
            stats_print_number(&stats_level_fields[i], &s->level[level], out);
        }
        fprintf(out, "}");
    }
    fprintf(out, "\n  ],\n");
}

static void print_times(const struct lsm_stats *s, FILE *out)
{
    unsigned i;

    fprintf(out, "  \"times\": {");
    for (i = 0; i < LSM_TIMED; i++) {
        const struct lsm_times *t = &s->time[i];

        fprintf(out,
                "%s\n    \"%s\": {\"count\": %" PRIu64 ", \"sample_every\": %u, "
                "\"sum_ns\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p90_ns\": %" PRIu64
                ", \"p99_ns\": %" PRIu64 ", \"p999_ns\": %" PRIu64
                ", \"max_ns\": %" PRIu64 "}",
                i ? "," : "", lsm_timed_name(i), t->count, t->sample_every, t->sum_ns,
                t->p50_ns, t->p90_ns, t->p99_ns, t->p999_ns, t->max_ns);
    }
    fprintf(out, "\n  },\n");
}

static void print_segments(const struct lsm_stats *s, FILE *out)
{
    unsigned i;

    fprintf(out, "  \"segments_with_most_garbage\": [");
    for (i = 0; i < s->segments_listed; i++) {
        const struct lsm_segment_stats *g = &s->segment[i];

        fprintf(out,
                "%s\n    {\"number\": %" PRIu64 ", \"size\": %" PRIu64
                ", \"live\": %" PRIu64 ", \"garbage\": %" PRIu64 ", \"pending\": %s}",
                i ? "," : "", g->number, g->size, g->live, g->garbage,
                g->pending ? "true" : "false");
    }
    fprintf(out, "%s]\n", s->segments_listed ? "\n  " : "");
}

void lsm_print_stats_json(const struct lsm_stats *s, FILE *out)
{
    size_t i;

    fprintf(out, "{\n");
    for (i = 0; i < stats_n_fields; i++) {
        fprintf(out, "  \"%s\": ", stats_fields[i].name);
        stats_print_number(&stats_fields[i], s, out);
        fprintf(out, ",\n");
    }
    print_levels(s, out);
    print_times(s, out);
    print_segments(s, out);
    fprintf(out, "}\n");
}
