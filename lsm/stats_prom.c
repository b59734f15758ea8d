/*
 * stats_prom.c - statistics in Prometheus' text exposition format.
 *
 * Durations are histograms, as quantiles of several stores, or of the last minutes,
 * can be had from those and not from quantiles since open. Base units: seconds and
 * bytes.
 */
#include "stats_impl.h"

#include <inttypes.h>
#include <string.h>

/* ---- labels ---- */

/* Length of the UTF-8 character at s; 0: it is none. */
static unsigned utf8_length(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned n = *s < 0x80       ? 1
                 : *s >> 5 == 6  ? 2
                 : *s >> 4 == 14 ? 3
                 : *s >> 3 == 30 ? 4
                                 : 0;
    uint32_t c = n < 2 ? *s : *s & (0x7fu >> n);
    unsigned i;

    for (i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    if (!n || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    return n;
}

void lsm_print_label(const char *name, const char *value, FILE *out)
{
    const unsigned char *s = (const unsigned char *)value;

    fprintf(out, "%s=\"", name);
    while (*s) {
        unsigned n = utf8_length(s);

        if (!n)
            fputs("\xef\xbf\xbd", out); /* U+FFFD */
        else if (*s == '\n')
            fputs("\\n", out);
        else if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else
            fwrite(s, 1, n, out);
        s += n ? n : 1;
    }
    fputc('"', out);
}

/* Both may be empty. */
static void print_labels(const char *labels, const char *own, FILE *out)
{
    if (*labels || *own)
        fprintf(out, "{%s%s%s}", labels, *labels && *own ? "," : "", own);
}

/* ---- samples ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static void print_head(const char *metric, const char *help, const char *type, FILE *out)
{
    fprintf(out, "# HELP lsm_%s %s\n# TYPE lsm_%s %s\n", metric, help, metric, type);
}

static void print_field_head(const struct stats_field *f, FILE *out)
{
    print_head(f->metric, f->help, ends_with(f->metric, "_total") ? "counter" : "gauge",
               out);
}

static void print_seconds(uint64_t ns, FILE *out)
{
    fprintf(out, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

static void print_sample(const struct stats_field *f, const void *base,
                         const char *labels, const char *own, FILE *out)
{
    fprintf(out, "lsm_%s", f->metric);
    print_labels(labels, own, out);
    fputc(' ', out);
    if (ends_with(f->metric, "_seconds"))
        print_seconds(*(const uint64_t *)((const char *)base + f->offset), out);
    else
        stats_print_number(f, base, out);
    fputc('\n', out);
}

static void print_levels(const struct lsm_stats *s, const char *labels, FILE *out)
{
    char own[32];
    unsigned level;
    size_t i;

    for (i = 0; i < stats_n_level_fields; i++) {
        const struct stats_field *f = &stats_level_fields[i];

        print_field_head(f, out);
        for (level = 0; level < LSM_LEVELS; level++) {
            snprintf(own, sizeof(own), "level=\"%u\"", level);
            print_sample(f, &s->level[level], labels, own, out);
        }
    }
}

static void print_segments(const struct lsm_stats *s, const char *labels, FILE *out)
{
    static const struct stats_field fields[] = {
        {NULL, "segment_size_bytes", "Size of a segment; of those with most garbage.",
         STATS_U64, offsetof(struct lsm_segment_stats, size)},
        {NULL, "segment_live_bytes", "Bytes of it that tables refer to.", STATS_U64,
         offsetof(struct lsm_segment_stats, live)},
        {NULL, "segment_garbage_bytes", "Bytes of it that nothing needs.", STATS_U64,
         offsetof(struct lsm_segment_stats, garbage)},
    };
    char own[48];
    unsigned i, j;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]) && s->segments_listed; i++) {
        print_field_head(&fields[i], out);
        for (j = 0; j < s->segments_listed; j++) {
            snprintf(own, sizeof(own), "segment=\"%" PRIu64 "\"", s->segment[j].number);
            print_sample(&fields[i], &s->segment[j], labels, own, out);
        }
    }
}

/* ---- durations ---- */

static void print_bucket(const char *metric, const char *labels, const char *bound,
                         uint64_t n, FILE *out)
{
    fprintf(out, "lsm_%s_bucket", metric);
    print_labels(labels, bound, out);
    fprintf(out, " %" PRIu64 "\n", n);
}

/* A bound is included, and our bounds are not: hence the nanosecond less. */
static void print_buckets(const struct lsm_times *t, const char *metric,
                          const char *labels, FILE *out)
{
    char bound[48];
    unsigned i;

    for (i = 0; i < LSM_TIME_BOUNDS; i++) {
        uint64_t ns = (1ull << (LSM_TIME_BITS + i)) - 1;

        snprintf(bound, sizeof(bound), "le=\"%" PRIu64 ".%09" PRIu64 "\"",
                 ns / 1000000000, ns % 1000000000);
        print_bucket(metric, labels, bound, t->below[i], out);
    }
    print_bucket(metric, labels, "le=\"+Inf\"", t->count, out);
}

static void print_times(const struct lsm_stats *s, const char *labels, FILE *out)
{
    unsigned i;

    for (i = 0; i < LSM_TIMED; i++) {
        const struct lsm_times *t = &s->time[i];
        char metric[48], help[96];

        snprintf(metric, sizeof(metric), "%s_seconds", lsm_timed_name(i));
        snprintf(help, sizeof(help),
                 t->sample_every > 1 ? "Duration of a %s; one call in %u is measured."
                                     : "Duration of a %s.",
                 lsm_timed_name(i), t->sample_every);
        print_head(metric, help, "histogram", out);
        print_buckets(t, metric, labels, out);
        fprintf(out, "lsm_%s_sum", metric);
        print_labels(labels, "", out);
        fputc(' ', out);
        print_seconds(t->sum_ns, out);
        fprintf(out, "\nlsm_%s_count", metric);
        print_labels(labels, "", out);
        fprintf(out, " %" PRIu64 "\n", t->count);
    }
}

void lsm_print_stats_prometheus(const struct lsm_stats *s, const char *labels, FILE *out)
{
    size_t i;

    if (!labels)
        labels = "";
    for (i = 0; i < stats_n_fields; i++) {
        if (!stats_fields[i].metric)
            continue;
        print_field_head(&stats_fields[i], out);
        print_sample(&stats_fields[i], s, labels, "", out);
    }
    print_levels(s, labels, out);
    print_segments(s, labels, out);
    print_times(s, labels, out);
}
