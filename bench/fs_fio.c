/*
 * fs_fio.c - fio's jobs: sequential and random, reading and writing, blocks of 4 KiB
 * and 1 MiB, with an fsync at the end or after every write, one job and more. Cold:
 * the reading ones, which find all caches empty.
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
    bool fsync; /* after every write; into a new file */
    bool timed; /* seconds, not the whole file */
};

static const struct job jobs[] = {
    {"write", 1024, 1, false, false},    {"read", 1024, 1, false, false},
    {"write", 4, 1, false, false},       {"read", 4, 1, false, false},
    {"randwrite", 4, 1, false, true},    {"randread", 4, 1, false, true},
    {"randwrite", 1024, 1, false, true}, {"randread", 1024, 1, false, true},
    {"write", 1024, 4, false, false},    {"read", 1024, 4, false, false},
    {"randwrite", 4, 4, false, true},    {"randread", 4, 4, false, true},
    {"write", 4, 1, true, true},         {"write", 4, 4, true, true},
    {"write", 4, 16, true, true},        {"write", 1024, 1, true, true},
};

enum { JOBS = sizeof(jobs) / sizeof(jobs[0]) };

/* fio's terse format, version 3: fields from 0 on, read at 5, write at 46: total KB,
 * bandwidth in KB/s, operations per second. */
enum { READ_AT = 5, WRITE_AT = 46, BANDWIDTH = 1, RATE = 2, ERROR_AT = 4 };

static bool reads(const struct job *j)
{
    return strstr(j->rw, "read");
}

/* Told in MB/s rather than operations. */
static bool in_bytes(const struct job *j)
{
    return !j->timed && j->block_kib > 4;
}

static void fio_command(const struct fs_config *c, const struct job *j, const char *dir,
                        const char *more, char *to, size_t cap)
{
    unsigned mib = c->mib / j->jobs ? c->mib / j->jobs : 1;
    int n = snprintf(
        to, cap,
        "cd '%s' && fio --name=job --directory=. --filename_format='f.$jobnum' "
        "--rw=%s --bs=%uk --size=%um --numjobs=%u --group_reporting --ioengine=psync "
        "--buffer_compress_percentage=50 --refill_buffers --minimal "
        "--terse-version=3 --fallocate=none --invalidate=0 %s %s%u %s",
        dir, j->rw, j->block_kib, mib, j->jobs, j->fsync ? "--fsync=1" : "",
        j->timed ? "--time_based --runtime=" : "--end_fsync=", j->timed ? c->seconds : 1,
        more);

    if (n >= (int)cap)
        bench_die(-E2BIG, "fio's command");
}

/* What fio tells: KiB and operations, per second. */
static void run_fio(const struct fs_config *c, const struct job *j, const char *dir,
                    double *kib_per_s, double *per_s)
{
    char command[4096], line[8192], *at = line, *field[TERSE_FIELDS] = {0};
    unsigned n = 0, base = reads(j) ? READ_AT : WRITE_AT;
    FILE *f;

    fio_command(c, j, dir, "", command, sizeof(command));
    f = popen(command, "r");
    if (!f || !fgets(line, sizeof(line), f))
        bench_die(0, "no answer of: %s", command);
    if (pclose(f) != 0)
        bench_die(0, "failed: %s", command);
    while (n < TERSE_FIELDS && (field[n] = strsep(&at, ";")))
        n++;
    if (n <= base + RATE || strcmp(field[0], "3") != 0 || atoi(field[ERROR_AT]) != 0)
        bench_die(0, "cannot use what fio says: %s", line);
    *kib_per_s = atof(field[base + BANDWIDTH]);
    *per_s = atof(field[base + RATE]);
}

static double run_job(const struct fs_config *c, const struct job *j, bool cold,
                      const char *dir)
{
    char command[4096];
    double kib, per_s;

    snprintf(command, sizeof(command), "fio %s %uk, %u jobs%s%s", j->rw, j->block_kib,
             j->jobs, j->fsync ? ", fsync" : "", cold ? ", cold" : "");
    bench_progress(command);
    if (cold) {
        fio_command(c, j, dir, "--create_only=1 >/dev/null", command, sizeof(command));
        fs_shell("%s", command);
        fs_go_cold(c);
    }
    if (j->fsync) /* new ones, which are not the next job's to begin with either */
        fs_shell("rm -f '%s'/f.*", dir);
    run_fio(c, j, dir, &kib, &per_s);
    if (j->fsync)
        fs_shell("rm -f '%s'/f.*", dir);
    return in_bytes(j) ? kib * 1024 / 1e6 : per_s;
}

static bool wanted(const struct fs_config *c, const struct job *j, bool cold)
{
    return cold ? c->cold && reads(j) : c->warm;
}

static void run_jobs(const struct fs_config *c, bool cold, const char *dir)
{
    double rate[JOBS][ROUNDS_MAX];
    unsigned round, i;

    for (round = 0; round < c->rounds; round++) {
        for (i = 0; i < JOBS; i++) {
            if (wanted(c, &jobs[i], cold))
                rate[i][round] = run_job(c, &jobs[i], cold, dir);
        }
    }
    fs_shell("rm -f '%s'/f.*", dir);
    for (i = 0; i < JOBS; i++) {
        const struct job *j = &jobs[i];
        struct fs_result r = {.part = "fio", .phase = j->rw};

        if (!wanted(c, j, cold))
            continue;
        snprintf(r.variant, sizeof(r.variant), "%uk jobs=%u%s%s", j->block_kib, j->jobs,
                 j->fsync ? " fsync" : "",
                 !reads(j) ? ""
                 : cold    ? " cold"
                           : " warm");
        r.unit = in_bytes(j) ? "MB/s" : "1/s";
        r.value = fs_median(rate[i], c->rounds);
        fs_result_add(&r);
    }
}

void fs_fio(const struct fs_config *c, const char *dir)
{
    run_jobs(c, false, dir);
    run_jobs(c, true, dir);
}
