/*
 * crew.c - the threads of a session: which of them read requests, and where.
 *
 * Why not fuse_session_loop_mt: it wakes another thread, often on another processor, for
 * every request; with one hot thread a lone client gets twice the speed. Requests that
 * wait must not hold up the others, hence the passing of the role.
 *
 * How many are hot follows from who sends (traffic.h), looked at every 64 requests:
 *
 *   one client, that waits for each answer   the near thread (near.h)
 *   several                                  one for each, up to one a processor; when
 *                                            that is all of them, each bound to its own
 *   neither                                  one
 *
 * A hot thread has a place: 0, which is always filled, or up to `readers`. The others
 * have a request that waits, or are parked. Who was parked last is called first; so those
 * whom a burst of waiting requests wanted are not called any more, and end: each has some
 * 2 MiB of buffers.
 */
#include <stdlib.h>
#include <time.h>

#include "cpus.h"
#include "session_impl.h"
#include "wire.h"

enum { READERS_MOST = 32 };

static const uint64_t PARKED_NS =
    5000000000; /* then a thread ends, if there is another */

static __thread struct worker *self;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

const void *session_request(void)
{
    return self && self->busy ? self->request.mem : NULL;
}

void session_stop(struct session *s, int error)
{
    mutex_lock(&s->mu);
    s->over = true;
    if (!s->error)
        s->error = error;
    for (struct worker *w = s->parked; w; w = w->below)
        pthread_cond_signal(&w->wake);
    pthread_cond_broadcast(&s->near_wake);
    mutex_unlock(&s->mu);
}

/* ---- the hot role ---- */

static void *worker_main(void *arg);

struct worker *worker_new(struct session *s)
{
    struct worker *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->session = s;
    cond_init(&w->wake);
    return w;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    pthread_cond_destroy(&w->wake);
    free(w);
}

static struct worker *add_thread_locked(struct session *s, bool is_near)
{
    struct worker *w = worker_new(s);

    if (!w)
        return NULL;
    w->is_near = is_near;
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
        worker_free(w);
        return NULL;
    }
    w->next = s->workers;
    s->workers = w;
    return w;
}

/*
 * Somebody is to take a free place. A thread that cannot be made is no harm: whoever is
 * done first takes it. The near thread makes none, as they would be like it; go_near sees
 * to it that an ordinary one is parked.
 */
static void fill_places_locked(struct session *s)
{
    struct worker *w = s->parked;

    if (s->coming >= (unsigned)__builtin_popcount(s->free))
        return;
    if (w) {
        s->parked = w->below;
        s->coming++;
        w->called = true;
        pthread_cond_signal(&w->wake);
    } else if (s->count < s->config->options->threads && !s->over && !self->is_near &&
               add_thread_locked(s, false)) {
        s->count++;
    }
}

static void give_place(struct session *s, struct worker *w)
{
    w->hot = false;
    mutex_lock(&s->mu);
    s->free |= 1u << w->place;
    fill_places_locked(s);
    mutex_unlock(&s->mu);
}

void session_about_to_block(void)
{
    struct worker *w = self;

    if (!w || !w->hot)
        return;
    if (w->is_near) {
        near_end(&w->near);
        trial_cut_short(&w->session->trial, now_ns());
    }
    give_place(w->session, w);
}

/* To pass the role on wakes a thread for the next request, mostly on another processor:
 * for a lone client, which sends none before this one is answered, that is no gain. */
static bool stays_hot(struct worker *w)
{
    bool stays;

    mutex_lock(&w->session->mu);
    stays = w->alone && patience_has(&w->session->patience);
    mutex_unlock(&w->session->mu);
    return stays;
}

void session_about_to_wait(enum env_wait what)
{
    struct worker *w = self;

    if (w && w->busy && what == ENV_WAIT_BRIEF) {
        w->brief_ns = w->brief_ns ? w->brief_ns : now_ns();
        if (w->hot && stays_hot(w))
            return;
    }
    session_about_to_block();
}

static void note_brief(struct session *s, struct worker *w)
{
    const uint64_t waited_ns = now_ns() - w->brief_ns;

    mutex_lock(&s->mu);
    patience_note(&s->patience, waited_ns);
    mutex_unlock(&s->mu);
}

/*
 * Wait for a place, or that all is over; false when there was none for long. Whoever
 * finds nobody parked stays however long that takes: the near thread relies on one
 * (go_near), and an idle mount wakes for nothing.
 */
static bool park_locked(struct session *s, struct worker *w)
{
    const bool stays = w->is_first || !s->parked;
    struct worker **at = &s->parked;
    int rc = 0;

    w->called = false;
    w->below = s->parked;
    s->parked = w;
    while (!w->called && !s->over && !rc) {
        if (stays)
            cond_wait(&w->wake, &s->mu);
        else
            rc = cond_wait_ns(&w->wake, &s->mu, PARKED_NS);
    }
    if (w->called) {
        s->coming--;
        return true;
    }
    while (*at != w)
        at = &(*at)->below;
    *at = w->below;
    return s->over;
}

/* One of the threads no more. */
static void retire_locked(struct session *s, struct worker *w)
{
    struct worker **at = &s->workers;

    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    s->count--;
    w->next = s->retired;
    s->retired = w;
    w->is_retired = true;
}

/* Who retires joins the one before. */
static void join_retired(struct worker *w)
{
    if (!w)
        return;
    pthread_join(w->thread, NULL);
    worker_free(w);
}

/* Park until there is a place, and take it; false when this thread is to end. */
static bool take_place(struct session *s, struct worker *w)
{
    mutex_lock(&s->mu);
    while (!s->free && !s->over && !w->is_retired) {
        if (!park_locked(s, w) && !s->free)
            retire_locked(s, w);
    }
    w->hot = !s->over && !w->is_retired;
    if (w->hot) {
        w->place = (unsigned)__builtin_ctz(s->free);
        s->free &= ~(1u << w->place);
    }
    mutex_unlock(&s->mu);
    return w->hot;
}

/* The next request; false when there will be no more, or none came to the near thread
 * for long. */
static bool receive(struct session *s, struct worker *w)
{
    int n;

    do {
        n = fuse_session_receive_buf(s->fuse, &w->request);
        if (n == -EINTR && w->is_near && near_idle(&w->near, now_ns()))
            return false;
    } while ((n == -EINTR || n == -EAGAIN) && !fuse_session_exited(s->fuse));
    if (n > 0 && !fuse_session_exited(s->fuse))
        return true;
    if (n >= 0 || fuse_session_exited(s->fuse)) {
        session_stop(s, 0);
    } else {
        err_log("%s: cannot read requests: %s", s->config->mountpoint, strerror(-n));
        session_stop(s, n);
    }
    return false;
}

static void answer(struct session *s, struct worker *w)
{
    w->busy = true;
    w->put_off = false;
    w->brief_ns = 0;
    w->begun_ns = meter_begin();
    fuse_session_process_buf(s->fuse, &w->request);
    if (!w->put_off)
        meter_end(&s->config->ops->meter, w->begun_ns, w->request.mem, w->request.size,
                  ops_take_error());
    w->busy = false;
    if (w->brief_ns)
        note_brief(s, w);
}

struct session *session_one_waits(uint64_t *begun_ns)
{
    struct session *s = self->session;

    self->put_off = true;
    *begun_ns = self->begun_ns;
    mutex_lock(&s->mu);
    s->waiting++;
    mutex_unlock(&s->mu);
    return s;
}

void session_less_waits(struct session *s)
{
    mutex_lock(&s->mu);
    if (--s->waiting == 0)
        pthread_cond_signal(&s->answered);
    mutex_unlock(&s->mu);
}

bool session_serve_one(struct session *s, struct worker *w)
{
    if (!receive(s, w))
        return false;
    answer(s, w);
    return true;
}

/* The request at hand belongs to the traffic; true when that filled a window. */
static bool saw_window(struct worker *w, struct traffic_seen *seen)
{
    return traffic_add(&w->traffic, wire_client(w->request.mem),
                       wire_is_bulky(w->request.mem), seen);
}

/* ---- ordinary threads ---- */

/* Each processor has a hot thread? Then this one stays on its own. */
static void stay_or_roam(struct session *s, struct worker *w)
{
    bool bind;

    mutex_lock(&s->mu);
    bind = s->readers > 1 && s->readers == cpus_count();
    mutex_unlock(&s->mu);
    if (bind && (!w->bound || w->bound_place != w->place))
        cpus_bind_nth(w->place);
    else if (!bind && w->bound)
        cpus_unbind();
    w->bound = bind;
    w->bound_place = w->place;
}

/* More hot threads for more clients; for fewer, the last one parks. */
static void fit_readers(struct session *s, struct worker *w, unsigned clients)
{
    unsigned most = cpus_count(), target;

    most = most < READERS_MOST ? most : READERS_MOST;
    most = most < s->config->options->threads ? most : s->config->options->threads;
    target = clients < most ? clients : most;
    target = target > 1 ? target : 1;
    mutex_lock(&s->mu);
    if (w->place + 1 == s->readers && target < s->readers) {
        s->readers--;
        w->hot = false;
    }
    while (target > s->readers) {
        s->free |= 1u << s->readers++;
        fill_places_locked(s);
    }
    mutex_unlock(&s->mu);
}

/* Pass the role to the near thread, for this client. */
static void go_near(struct session *s, struct worker *w, uint32_t client)
{
    mutex_lock(&s->mu);
    if (s->over) { /* no more threads: session_serve counts those that there are */
        mutex_unlock(&s->mu);
        return;
    }
    if (!s->near)
        s->near = add_thread_locked(s, true);
    /* It makes no threads, and this one may have a request that waits: one in reserve. */
    if (!s->parked && s->count < s->config->options->threads &&
        add_thread_locked(s, false))
        s->count++;
    if (s->near) {
        w->hot = false;
        s->near_client = client;
        pthread_cond_signal(&s->near_wake);
    } else {
        s->no_near = true;
    }
    mutex_unlock(&s->mu);
}

static void consider_near(struct session *s, struct worker *w, uint32_t client,
                          uint64_t now, uint64_t window_ns)
{
    bool possible;

    mutex_lock(&s->mu);
    possible = s->readers == 1 && !s->no_near;
    mutex_unlock(&s->mu);
    if (!possible || !trial_may_begin(&s->trial, now, window_ns))
        return;
    if (near_has_room()) {
        trial_begin(&s->trial, now, window_ns);
        go_near(s, w, client);
    } else {
        trial_put_off(&s->trial, now);
    }
}

static void look_around(struct session *s, struct worker *w,
                        const struct traffic_seen *seen)
{
    uint64_t now = now_ns(), window_ns = now - w->window_ns;

    w->window_ns = now;
    w->alone = seen->lone != 0;
    fit_readers(s, w, seen->clients);
    if (!w->hot)
        return;
    stay_or_roam(s, w);
    if (w->place == 0 && seen->lone)
        consider_near(s, w, seen->lone, now, window_ns);
}

static void serve_hot(struct session *s, struct worker *w)
{
    struct traffic_seen seen;

    stay_or_roam(s, w);
    while (w->hot && receive(s, w)) {
        if (saw_window(w, &seen))
            look_around(s, w, &seen);
        answer(s, w);
    }
}

/* ---- the near thread ---- */

/* Wait to be called; false when all is over. */
static bool take_client(struct session *s, uint32_t *client)
{
    mutex_lock(&s->mu);
    while (!s->near_client && !s->over)
        cond_wait(&s->near_wake, &s->mu);
    *client = s->near_client;
    s->near_client = 0;
    mutex_unlock(&s->mu);
    return *client != 0;
}

/* With a request at hand: how does it go? */
static enum near_state look_near(struct session *s, struct worker *w)
{
    const uint64_t now = now_ns();
    enum near_state state = near_look(&w->near, now);
    struct traffic_seen seen;

    if (state != NEAR_WELL || !saw_window(w, &seen))
        return state;
    if (seen.lone != w->near.client)
        return NEAR_GONE;
    return trial_pays(&s->trial, now) ? NEAR_WELL : NEAR_FAILED;
}

/* Serve a client while that pays and it is alone. */
static enum near_state serve_client(struct session *s, struct worker *w, uint32_t client)
{
    enum near_state state = NEAR_WELL;

    w->traffic = (struct traffic){0};
    w->alone = true;
    if (!near_begin(&w->near, client, now_ns()))
        return NEAR_FAILED;
    while (w->hot && state == NEAR_WELL && receive(s, w)) {
        state = look_near(s, w);
        answer(s, w);
        near_answered(&w->near, now_ns());
    }
    near_end(&w->near);
    return state;
}

static void near_main(struct session *s, struct worker *w)
{
    const bool able = near_become(&w->near, SESSION_KICK);
    uint32_t client;
    enum near_state state;

    while (take_client(s, &client)) {
        w->hot = true;
        w->place = 0;
        state = able ? serve_client(s, w, client) : NEAR_FAILED;
        /* Before the place is given: who has it has the trial. */
        if (w->hot) {
            trial_end(&s->trial, now_ns(), state == NEAR_FAILED);
            if (state == NEAR_RESTLESS)
                trial_put_off(&s->trial, now_ns());
            give_place(s, w);
        }
    }
    if (able)
        near_retire(&w->near);
}

/* ---- a thread's life ---- */

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct session *s = w->session;

    self = w;
    if (w->is_near)
        near_main(s, w);
    while (!w->is_near && take_place(s, w))
        serve_hot(s, w);
    self = NULL;
    free(w->request.mem);
    if (w->is_retired) {
        join_retired(w->next);
        return NULL;
    }
    mutex_lock(&s->mu);
    w->ended = true;
    mutex_unlock(&s->mu);
    return NULL;
}

void session_serve(struct session *s, struct worker *first)
{
    struct worker *w;

    cpus_learn();
    mutex_lock(&s->mu);
    s->readers = 1;
    s->free = 1;
    mutex_unlock(&s->mu);
    worker_main(first);
    /* All is over, so nobody adds workers, and none retires. */
    for (w = s->workers; w != first; w = w->next)
        pthread_join(w->thread, NULL);
    join_retired(s->retired);
}
