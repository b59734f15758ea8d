/*
 * traffic.h - who sends the requests that one thread reads: a lone program that waits for
 * each answer, or several at once? Policy only: numbers in, numbers out. Not thread-safe.
 */
#ifndef MOUNT_TRAFFIC_H
#define MOUNT_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TRAFFIC_WINDOW = 64, /* requests that are looked at together */
    TRAFFIC_NAMED = 16,  /* clients told apart among them */
};

struct traffic {
    uint32_t client[TRAFFIC_NAMED];
    uint8_t count[TRAFFIC_NAMED];
    unsigned named, requests;
    bool bulky;
};

/*
 * Of a full window: `clients` sent an eighth of it or more, each (0: processes that come
 * and go). `lone` sent nearly all of it, and nothing bulky; 0: nobody did.
 */
struct traffic_seen {
    unsigned clients;
    uint32_t lone;
};

/*
 * One more request of the thread `client` (0: of the kernel's own; not counted). Bulky:
 * its data are work for a processor of its own. True when that filled a window: *seen is
 * set, and a new one begins.
 */
bool traffic_add(struct traffic *t, uint32_t client, bool bulky,
                 struct traffic_seen *seen);

/*
 * When to serve a lone client from beside it (near.h), and when to leave it be for a
 * while, because it did not pay.
 */
struct trial {
    uint64_t not_before_ns, pause_ns, begun_ns;
    uint64_t before_ns; /* what the last window took before it began */
    unsigned windows;
};

/* May it begin, after a window that took window_ns? */
bool trial_may_begin(const struct trial *t, uint64_t now_ns, uint64_t window_ns);
/* Not now; ask again in some milliseconds. */
void trial_put_off(struct trial *t, uint64_t now_ns);
void trial_begin(struct trial *t, uint64_t now_ns, uint64_t window_ns);
/* A window is over: false when enough of them show that it does not pay. */
bool trial_pays(struct trial *t, uint64_t now_ns);
/* `failed`: the next time after a pause, that grows from one failure to the next. */
void trial_end(struct trial *t, uint64_t now_ns, bool failed);
/* It ends because a request waits; failed when that came too soon to gain anything. */
void trial_cut_short(struct trial *t, uint64_t now_ns);

/* Is waiting for the disk done sooner than another thread is there for others? */
struct patience {
    uint64_t lately_ns; /* what a request waited of late; 0: none did */
};

/* A request was done so long after it began to wait. */
void patience_note(struct patience *p, uint64_t waited_ns);
bool patience_has(const struct patience *p);

#endif
