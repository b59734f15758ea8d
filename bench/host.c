/*
 * host.c - see host.h.
 */
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "bench.h"
#include "host.h"

/* Of one processor, in the last minute, for each there is. */
static const double busy_load = 0.25;

static void processor(char *to, size_t cap)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512], *colon;

    snprintf(to, cap, "unknown processor");
    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "model name", 10) == 0 && (colon = strchr(line, ':'))) {
            colon[strcspn(colon, "\n")] = '\0';
            snprintf(to, cap, "%s", colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

/* The type of the mount with dir's device. */
static void filesystem(const char *dir, char *to, size_t cap)
{
    FILE *f = fopen("/proc/self/mountinfo", "r");
    unsigned major, minor;
    struct stat st;
    char line[8192], type[64];

    snprintf(to, cap, "unknown filesystem");
    while (f && stat(dir, &st) == 0 && fgets(line, sizeof(line), f)) {
        const char *dash = strstr(line, " - ");

        if (dash && sscanf(line, "%*d %*d %u:%u", &major, &minor) == 2 &&
            makedev(major, minor) == st.st_dev && sscanf(dash, " - %63s", type) == 1)
            snprintf(to, cap, "%s", type);
    }
    if (f)
        fclose(f);
}

void bench_host(const char *dir)
{
    double load = 0, gib = (double)sysconf(_SC_PHYS_PAGES) *
                           (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    char cpu[256], type[64];
    struct utsname un;

    uname(&un);
    processor(cpu, sizeof(cpu));
    filesystem(dir, type, sizeof(type));
    if (getloadavg(&load, 1) != 1)
        load = 0;
    printf("machine: %s, %ld processors, %.0f GiB, %s %s, %s, load %.2f\n", cpu,
           processors, gib, un.sysname, un.release, type, load);
    fflush(stdout);
    if (load > busy_load * (double)processors)
        fprintf(stderr, "%s: the machine is busy (load %.2f): figures will be low\n",
                program_invocation_short_name, load);
}

void bench_need_space(const char *dir, double bytes, const char *how)
{
    struct statvfs st;
    double free_bytes;

    if (statvfs(dir, &st) != 0)
        bench_die(-errno, "%s", dir);
    free_bytes = (double)st.f_bavail * (double)st.f_frsize;
    if (free_bytes < bytes)
        bench_die(0, "%s has %.1f GB free; this needs %.1f GB (less with %s)", dir,
                  free_bytes / 1e9, bytes / 1e9, how);
}
