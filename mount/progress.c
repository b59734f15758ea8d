/*
 * progress.c - see progress.h.
 */
#include "progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { EVERY_MS = 200 };

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_show(struct progress *p, uint64_t done, uint64_t total)
{
    uint64_t now = now_ms(), left;
    double per_s;

    if (!p->begun) {
        *p = (struct progress){.begun = true, .begun_ms = now, .first_done = done};
        p->shown_ms = now;
    }
    if (now - p->shown_ms < EVERY_MS || !isatty(STDERR_FILENO))
        return;
    if (total && done > total)
        total = done; /* it was a guess */
    per_s = (double)(done - p->first_done) * 1000 / (double)(now - p->begun_ms);
    if (!total)
        fprintf(stderr, "\r%8.1f MB %8.1f MB/s", (double)done / 1e6, per_s / 1e6);
    else
        fprintf(stderr, "\r%5.1f %% %8.1f MB/s", 100.0 * (double)done / (double)total,
                per_s / 1e6);
    left = total && per_s > 0 ? (uint64_t)((double)(total - done) / per_s) : 0;
    if (total && per_s > 0 && left < 360000)
        fprintf(stderr, "  %u:%02u:%02u left", (unsigned)(left / 3600),
                (unsigned)(left / 60 % 60), (unsigned)(left % 60));
    fprintf(stderr, "\033[K");
    p->shown_ms = now;
    p->shown = true;
}

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    interrupted = 1;
}

void progress_catch_signals(void)
{
    struct sigaction sa = {.sa_handler = interrupt, .sa_flags = SA_RESETHAND};

    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

int progress_canceled(void)
{
    return interrupted ? -ECANCELED : 0;
}

void progress_clear(struct progress *p)
{
    if (p->shown)
        fprintf(stderr, "\r\033[K");
    p->shown = false;
}
