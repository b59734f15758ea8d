/*
 * session_impl.h - what session.c, crew.c and signals.c share.
 */
#ifndef MOUNT_SESSION_IMPL_H
#define MOUNT_SESSION_IMPL_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>

#include "near.h"
#include "session.h"
#include "traffic.h"

struct worker {
    struct session *session;
    struct worker *next;
    pthread_t thread;
    bool is_first;           /* the thread of session_run */
    struct fuse_buf request; /* its memory is kept from one to the next */
    /* The thread's own. */
    bool hot, busy, bound;
    bool put_off;      /* the request at hand is answered by another thread (later.h) */
    uint64_t begun_ns; /* when it was begun */
    uint64_t brief_ns; /* when it first waited briefly; 0: it has not */
    bool alone;        /* who sends is a lone client, as far as was seen */
    unsigned place, bound_place; /* while hot: which of the hot ones */
    struct traffic traffic;
    uint64_t window_ns; /* when the last window of it ended */
    bool is_near, is_retired;
    struct near near;
    /* Under the session's mu. */
    bool ended;
    bool called;          /* parked no more: there is a place */
    struct worker *below; /* while parked: who was, before */
    pthread_cond_t wake;
};

struct session {
    const struct session_config *config;
    struct fuse_session *fuse;
    unsigned major, minor; /* of the mount: tells it from another at that place */

    struct mutex mu; /* inside all but the log's: the block hook comes with locks held */
    struct worker *workers; /* as it is when all is `over`, it stays */
    struct worker *retired; /* the last that was long parked; to be joined */
    struct worker *parked;  /* the last one first: its memory is the warmest */
    unsigned count;         /* of threads, the near one not among them */
    unsigned coming;        /* called, and not there yet */
    unsigned readers;       /* how many are to be hot */
    unsigned free;          /* a bit for each of them that nobody is: who asks is next */
    struct worker *near;    /* NULL: not needed yet, or not possible */
    bool no_near;
    uint32_t near_client; /* it is to be hot, for this one; 0: it is, or is not to be */
    pthread_cond_t near_wake;
    struct trial trial;
    struct patience patience; /* with reads */
    unsigned waiting; /* requests to be answered later */
    pthread_cond_t answered;
    bool over;
    int error;
};

/* crew.c: a thread to be, or NULL; worker_free when it has ended. */
struct worker *worker_new(struct session *s);
void worker_free(struct worker *w);
/* Read and answer until all is over and the other threads have ended, as the first of
 * them. */
void session_serve(struct session *s, struct worker *first);
/* One request, start to end; false when there will be no more. */
bool session_serve_one(struct session *s, struct worker *w);

/* The request this thread works on is answered later; the session, and when it was
 * begun. */
struct session *session_one_waits(uint64_t *begun_ns);
/* It was. The session may be gone after this. */
void session_less_waits(struct session *s);

/* No more requests: every thread ends after the one it has. */
void session_stop(struct session *s, int error);
/* Is our mount the one to be seen at its mount point? */
bool session_is_mounted(const struct session *s);

/* signals.c: a signal that only interrupts what a thread waits in. */
enum { SESSION_KICK = SIGUSR1 };
/* Whom the signals end; NULL: nobody any more. */
void session_signals_to(struct session *s);

#endif
