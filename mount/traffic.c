/*
 * traffic.c - see traffic.h.
 */
#include "traffic.h"

#define MS 1000000ull

enum {
    BRISK_US = 200,   /* a request: slower ones gain little, as most of it is work */
    JUDGED_AFTER = 8, /* windows */
    PATIENT_US = 400, /* a wait: what others may have to wait then, too */
    WAITS = 8,        /* that count as `lately` */
};

static const uint64_t pause_least_ns = 20 * MS, pause_most_ns = 2000 * MS;
static const uint64_t put_off_ns = 5 * MS, proven_ns = 100 * MS;

static unsigned most_of(const struct traffic *t)
{
    unsigned most = 0;

    for (unsigned i = 1; i < t->named; i++) {
        if (t->count[i] > t->count[most])
            most = i;
    }
    return most;
}

static void look(const struct traffic *t, struct traffic_seen *seen)
{
    unsigned most = most_of(t);

    *seen = (struct traffic_seen){0};
    for (unsigned i = 0; i < t->named; i++)
        seen->clients += t->count[i] >= TRAFFIC_WINDOW / 8;
    if (!t->bulky && t->count[most] >= TRAFFIC_WINDOW - TRAFFIC_WINDOW / 8)
        seen->lone = t->client[most];
}

bool traffic_add(struct traffic *t, uint32_t client, bool bulky,
                 struct traffic_seen *seen)
{
    unsigned i = 0;

    t->bulky |= bulky;
    if (!client)
        return false;
    while (i < t->named && t->client[i] != client)
        i++;
    if (i == t->named && i < TRAFFIC_NAMED) {
        t->client[i] = client;
        t->count[i] = 0;
        t->named++;
    }
    if (i < t->named)
        t->count[i]++;
    if (++t->requests < TRAFFIC_WINDOW)
        return false;
    look(t, seen);
    t->named = t->requests = 0;
    t->bulky = false;
    return true;
}

bool trial_may_begin(const struct trial *t, uint64_t now_ns, uint64_t window_ns)
{
    return now_ns >= t->not_before_ns && window_ns <= TRAFFIC_WINDOW * BRISK_US * 1000ull;
}

void trial_put_off(struct trial *t, uint64_t now_ns)
{
    t->not_before_ns = now_ns + put_off_ns;
}

void trial_begin(struct trial *t, uint64_t now_ns, uint64_t window_ns)
{
    t->begun_ns = now_ns;
    t->before_ns = window_ns;
    t->windows = 0;
}

bool trial_pays(struct trial *t, uint64_t now_ns)
{
    return ++t->windows != JUDGED_AFTER ||
           now_ns - t->begun_ns <= t->before_ns * JUDGED_AFTER;
}

void trial_end(struct trial *t, uint64_t now_ns, bool failed)
{
    if (now_ns - t->begun_ns >= proven_ns || t->pause_ns < pause_least_ns)
        t->pause_ns = pause_least_ns;
    if (!failed)
        return;
    t->not_before_ns = now_ns + t->pause_ns;
    t->pause_ns = t->pause_ns * 2 < pause_most_ns ? t->pause_ns * 2 : pause_most_ns;
}

void trial_cut_short(struct trial *t, uint64_t now_ns)
{
    trial_end(t, now_ns, t->windows < JUDGED_AFTER);
}

void patience_note(struct patience *p, uint64_t waited_ns)
{
    /* Nothing known: long ones are expected. */
    if (!p->lately_ns)
        p->lately_ns = 2 * PATIENT_US * 1000;
    p->lately_ns -= p->lately_ns / WAITS;
    p->lately_ns += waited_ns / WAITS + 1;
}

bool patience_has(const struct patience *p)
{
    return p->lately_ns && p->lately_ns <= PATIENT_US * 1000;
}
