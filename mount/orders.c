/*
 * orders.c - see orders.h: the file, the thread of an order, and how it is answered. What
 * an order does: order_commands.c.
 */
#include "orders_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "near.h"

enum {
    READ_WAIT_S = 1,
    KEPT_MAX = 16 << 20, /* of lines that nobody reads; the last is told all the same */
};

/* ---- answering ---- */

static void put_line(struct order *r, const char *kind, const char *text)
{
    buf_append_slice(&r->out, slice_str(kind));
    buf_append_slice(&r->out, slice_str(text));
    buf_append(&r->out, "\n", 1);
}

static void answer(struct order *r, const char *kind, bool last, const char *fmt,
                   va_list ap)
{
    char *text, lost[64];

    if (vasprintf(&text, fmt, ap) < 0)
        return;
    pthread_mutex_lock(&r->mu);
    if (!last && r->out.len - r->taken >= KEPT_MAX) {
        r->lost++;
    } else {
        if (r->lost) {
            snprintf(lost, sizeof(lost), "(%" PRIu64 " lines are missing)", r->lost);
            put_line(r, "say ", lost);
        }
        r->lost = 0;
        put_line(r, kind, text);
    }
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mu);
    free(text);
}

bool order_await_room(struct order *r)
{
    pthread_mutex_lock(&r->mu);
    while (r->out.len - r->taken >= KEPT_MAX && !atomic_load(&r->off))
        pthread_cond_wait(&r->more, &r->mu);
    pthread_mutex_unlock(&r->mu);
    return !atomic_load(&r->off);
}

void order_say(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "say ", false, fmt, ap);
    va_end(ap);
}

void order_progress(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "progress ", false, fmt, ap);
    va_end(ap);
}

void order_end(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "end ", true, fmt, ap);
    va_end(ap);
}

void order_refuse(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "fail ", true, fmt, ap);
    va_end(ap);
}

/* ---- its thread ---- */

static void *obey(void *arg)
{
    struct order *r = arg;
    char *rest = r->line + strcspn(r->line, " ");

    near_not();
    if (*rest)
        *rest++ = '\0';
    order_run(r, r->line, rest);
    pthread_mutex_lock(&r->mu);
    r->over = true;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mu);
    return NULL;
}

/* ---- the file ---- */

bool order_allowed(const struct ops *o, uid_t uid)
{
    return uid == 0 || uid == o->uid;
}

int order_new(struct ops *o, struct order **out)
{
    struct order *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->ops = o;
    pthread_mutex_init(&r->mu, NULL);
    pthread_cond_init(&r->more, NULL);
    *out = r;
    return 0;
}

int order_give(struct order *r, struct slice line)
{
    int err = 0;

    if (line.len && line.data[line.len - 1] == '\n')
        line.len--;
    if (!line.len || line.len > ORDER_BYTES || memchr(line.data, '\n', line.len) ||
        memchr(line.data, '\0', line.len))
        return -EINVAL;
    pthread_mutex_lock(&r->mu);
    if (r->given || atomic_load(&r->off)) {
        err = -EBUSY;
    } else {
        memcpy(r->line, line.data, line.len);
        err = -pthread_create(&r->thread, NULL, obey, r);
        r->given = err == 0;
    }
    pthread_mutex_unlock(&r->mu);
    return err;
}

static void take_locked(struct order *r, void *to, size_t n)
{
    memcpy(to, r->out.data + r->taken, n);
    r->taken += n;
    if (r->taken < r->out.len / 2)
        return;
    r->out.len -= r->taken;
    memmove(r->out.data, r->out.data + r->taken, r->out.len);
    r->taken = 0;
    pthread_cond_broadcast(&r->more);
}

int order_read(struct order *r, void *to, size_t len, size_t *got)
{
    struct timespec until;

    *got = 0;
    env_about_to_block();
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += READ_WAIT_S;
    pthread_mutex_lock(&r->mu);
    while (r->given && !r->over && r->out.len == r->taken)
        if (pthread_cond_timedwait(&r->more, &r->mu, &until))
            break;
    if (r->out.len > r->taken) {
        *got = r->out.len - r->taken < len ? r->out.len - r->taken : len;
        take_locked(r, to, *got);
    } else if (r->given && !r->over && len) {
        *(char *)to = '\n';
        *got = 1;
    }
    pthread_mutex_unlock(&r->mu);
    return 0;
}

/* It was taken from the list, or nobody else looks there any more. */
static void call_off(struct order *r)
{
    bool given;

    atomic_store(&r->off, true);
    pthread_mutex_lock(&r->mu);
    given = r->given;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mu);
    if (given)
        pthread_join(r->thread, NULL);
    pthread_mutex_lock(&r->mu);
    r->given = false;
    r->over = true;
    pthread_mutex_unlock(&r->mu);
}

void order_free(struct order *r)
{
    env_about_to_block();
    call_off(r);
    buf_release(&r->out);
    pthread_cond_destroy(&r->more);
    pthread_mutex_destroy(&r->mu);
    free(r);
}
