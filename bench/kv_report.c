/*
 * kv_report.c - results for people and for scripts.
 */
#include "kv_report.h"

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static double us(const struct kv_result *r, double q)
{
    return (double)bench_latency_quantile(&r->latency, q) / 1e3;
}

static double ops_per_second(const struct kv_result *r)
{
    return ratio((double)r->ops, r->seconds);
}

static double write_amplification(const struct kv_result *r)
{
    return ratio((double)r->written_bytes, (double)r->user_bytes);
}

void kv_result_extra(struct kv_result *r, const char *name, double value)
{
    int i = 0;

    while (i < KV_EXTRAS && r->extra[i].name)
        i++;
    if (i == KV_EXTRAS)
        bench_die(0, "too many figures");
    r->extra[i].name = name;
    r->extra[i].value = value;
}

/* ---- for people ---- */

void kv_report_heading(FILE *out)
{
    fprintf(out, "%-13s%-18s%3s%11s%9s%9s%9s%9s%9s%8s%8s%8s%8s\n", "engine", "workload",
            "T", "ops/s", "p50 us", "p99 us", "p99.9 us", "max ms", "stall ms", "w/user",
            "disk/lv", "peak/lv", "mem MB");
    fflush(out);
}

/* "-" for what there is none of. */
static void cell(FILE *out, int width, double x)
{
    if (x <= 0)
        fprintf(out, "%*s", width, "-");
    else
        fprintf(out, "%*.*f", width, x < 100 ? 2 : 0, x);
}

void kv_report_line(FILE *out, const struct kv_result *r)
{
    fprintf(out, "%-13s%-18s%3u", r->engine, r->workload, r->config.threads);
    cell(out, 11, ops_per_second(r));
    cell(out, 9, us(r, 0.50));
    cell(out, 9, us(r, 0.99));
    cell(out, 9, us(r, 0.999));
    cell(out, 9, (double)r->latency.max_ns / 1e6);
    cell(out, 9, r->stall_ms);
    cell(out, 8, write_amplification(r));
    cell(out, 8, ratio((double)r->disk_bytes, (double)r->live_bytes));
    cell(out, 8, ratio((double)r->peak_disk_bytes, (double)r->live_bytes));
    cell(out, 8, (double)r->peak_memory_bytes / 1e6);
    for (int i = 0; i < KV_EXTRAS && r->extra[i].name; i++)
        fprintf(out, "%s%s %.3g", i ? ", " : "  ", r->extra[i].name, r->extra[i].value);
    fputs("\n", out);
    fflush(out);
}

/* ---- for scripts ---- */

static void text(FILE *out, const char *name, const char *value)
{
    fprintf(out, "\"%s\": \"%s\", ", name, value);
}

static void number(FILE *out, const char *name, double value)
{
    fprintf(out, "\"%s\": %.15g, ", name, value);
}

static void truth(FILE *out, const char *name, bool value)
{
    fprintf(out, "\"%s\": %s, ", name, value ? "true" : "false");
}

static void add_config(FILE *out, const struct kv_config *c)
{
    number(out, "num", (double)c->num);
    number(out, "value_bytes", (double)c->value_bytes);
    number(out, "threads", c->threads);
    number(out, "cache_bytes", (double)c->cache_bytes);
    number(out, "memtable_bytes", (double)c->memtable_bytes);
    truth(out, "sync", c->sync);
    truth(out, "filter", c->filter);
    truth(out, "full", c->full);
    text(out, "compression", c->compress ? "lz4" : "none");
}

static void add_costs(FILE *out, const struct kv_result *r)
{
    number(out, "user_bytes", (double)r->user_bytes);
    number(out, "written_bytes", (double)r->written_bytes);
    number(out, "cancelled_bytes", (double)r->cancelled_bytes);
    number(out, "write_amplification", write_amplification(r));
    number(out, "live_bytes", (double)r->live_bytes);
    number(out, "disk_bytes", (double)r->disk_bytes);
    number(out, "peak_disk_bytes", (double)r->peak_disk_bytes);
    number(out, "space_amplification",
           ratio((double)r->disk_bytes, (double)r->live_bytes));
    number(out, "peak_space_amplification",
           ratio((double)r->peak_disk_bytes, (double)r->live_bytes));
    number(out, "peak_memory_bytes", (double)r->peak_memory_bytes);
    number(out, "anon_memory_bytes", (double)r->anon_memory_bytes);
    number(out, "settle_seconds", r->settle_seconds);
}

static bool first_of_list;

void kv_json_begin(FILE *out)
{
    fputs("[", out);
    first_of_list = true;
}

void kv_json_add(FILE *out, const struct kv_result *r)
{
    fprintf(out, "%s\n{", first_of_list ? "" : ",");
    first_of_list = false;
    text(out, "engine", r->engine);
    text(out, "workload", r->workload);
    number(out, "ops_per_s", ops_per_second(r));
    number(out, "ops", (double)r->ops);
    number(out, "seconds", r->seconds);
    number(out, "p50_us", us(r, 0.50));
    number(out, "p99_us", us(r, 0.99));
    number(out, "p999_us", us(r, 0.999));
    number(out, "max_us", (double)r->latency.max_ns / 1e3);
    add_costs(out, r);
    add_config(out, &r->config);
    for (int i = 0; i < KV_EXTRAS && r->extra[i].name; i++)
        number(out, r->extra[i].name, r->extra[i].value);
    fprintf(out, "\"longest_stall_ms\": %.15g}", r->stall_ms);
    fflush(out);
}

void kv_json_end(FILE *out)
{
    fputs("\n]\n", out);
}
