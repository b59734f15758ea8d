/*
 * fs_fio.c - fio's jobs: sequential and random, reading and writing, blocks of 4 KiB
 * and 1 MiB, with an fsync at the end or after every write, one job and four. Reads find
 * the caches empty when the configuration says cold, else as the write left them.
 *
 * A sequential job moves its file once; a random one runs for so many seconds within
 * it. Content compresses to about half (fio's buffer_compress_percentage).
 */
#include "fs.h"

enum { ROUNDS_MAX = 99, TERSE_FIELDS = 130 };

struct job {
    const char *rw; /* fio's word */
    unsigned block_kib;
    unsigned jobs;
    bool fsync;      /* after every write */
    bool timed;      /* seconds, not the whole file */
    bool needs_file; /* it finds one, written before */
};

static const struct job jobs[] = {
    {"write", 1024, 1, false, false, false},   {"read", 1024, 1, false, false, true},
    {"write", 4, 1, false, false, false},      {"read", 4, 1, false, false, true},
    {"randwrite", 4, 1, false, true, true},    {"randread", 4, 1, false, true, true},
    {"randwrite", 1024, 1, false, true, true}, {"randread", 1024, 1, false, true, true},
    {"write", 1024, 4, false, false, false},   {"read", 1024, 4, false, false, true},
    {"randwrite", 4, 4, false, true, true},    {"randread", 4, 4, false, true, true},
    {"write", 4, 1, true, true, false},        {"write", 4, 4, true, true, false},
    {"write", 4, 16, true, true, false},       {"write", 1024, 1, true, true, false},
};

enum { JOBS = sizeof(jobs) / sizeof(jobs[0]) };

/* fio's terse format, version 3: fields from 0 on, read at 5, write at 46: total KB,
 * bandwidth in KB/s, operations per second. */
enum { READ_AT = 5, WRITE_AT = 46, BANDWIDTH = 1, RATE = 2, ERROR_AT = 4 };

static void run_fio(const struct fs_config *c, const struct job *j, const char *dir,
                    double *kib_per_s, double *per_s)
{
    char command[4096], line[8192], *at = line, *field[TERSE_FIELDS] = {0};
    unsigned mib = c->mib / j->jobs ? c->mib / j->jobs : 1, n = 0, base;
    FILE *f;

    snprintf(
        command, sizeof(command),
        "cd '%s' && fio --name=job --directory=. --filename_format='f.$jobnum' "
        "--rw=%s --bs=%uk --size=%um --numjobs=%u --group_reporting --ioengine=psync "
        "--buffer_compress_percentage=50 --refill_buffers --minimal "
        "--terse-version=3 --fallocate=none --invalidate=%d %s %s%u",
        dir, j->rw, j->block_kib, mib, j->jobs, c->cold, j->fsync ? "--fsync=1" : "",
        j->timed ? "--time_based --runtime=" : "--end_fsync=", j->timed ? c->seconds : 1);
    f = popen(command, "r");
    if (!f || !fgets(line, sizeof(line), f))
        bench_die(0, "no answer of: %s", command);
    if (pclose(f) != 0)
        bench_die(0, "failed: %s", command);
    while (n < TERSE_FIELDS && (field[n] = strsep(&at, ";")))
        n++;
    base = strstr(j->rw, "read") ? READ_AT : WRITE_AT;
    if (n <= base + RATE || strcmp(field[0], "3") != 0 || atoi(field[ERROR_AT]) != 0)
        bench_die(0, "cannot use what fio says: %s", line);
    *kib_per_s = atof(field[base + BANDWIDTH]);
    *per_s = atof(field[base + RATE]);
}

void fs_fio(const struct fs_config *c, const char *dir)
{
    double rate[JOBS][ROUNDS_MAX], mb, per_s;
    unsigned round, i;

    for (round = 0; round < c->rounds; round++) {
        for (i = 0; i < JOBS; i++) {
            const struct job *j = &jobs[i];

            bench_progress(j->rw);
            if (j->needs_file && c->cold && strstr(j->rw, "read"))
                fs_go_cold(c);
            run_fio(c, j, dir, &mb, &per_s);
            rate[i][round] = j->timed || j->block_kib == 4 ? per_s : mb * 1024 / 1e6;
            if (!j->needs_file && j->fsync)
                fs_shell("rm -f '%s'/f.*", dir);
        }
    }
    fs_shell("rm -f '%s'/f.*", dir);
    for (i = 0; i < JOBS; i++) {
        const struct job *j = &jobs[i];
        struct fs_result r = {.part = "fio", .phase = j->rw};

        snprintf(r.variant, sizeof(r.variant), "%uk jobs=%u%s%s", j->block_kib, j->jobs,
                 j->fsync ? " fsync" : "",
                 strstr(j->rw, "read") ? c->cold ? " cold" : " warm" : "");
        r.unit = j->timed || j->block_kib == 4 ? "1/s" : "MB/s";
        r.value = fs_median(rate[i], c->rounds);
        fs_result_add(&r);
    }
}
