/*
 * env_streams.c - see env_streams.h.
 */
#include "env_streams.h"

/* That which such a read continues; else the one least recently used, *fresh. */
static struct read_stream *stream_for(struct read_streams *r, uint64_t off, int *fresh)
{
    struct read_stream *found = NULL, *oldest = &r->stream[0];
    uint64_t best = STREAM_NEAR;
    int i;

    for (i = 0; i < STREAMS; i++) {
        struct read_stream *s = &r->stream[i];
        uint64_t far = off > s->next ? off - s->next : s->next - off;

        if (s->used < oldest->used)
            oldest = s;
        if (s->used && far <= best) {
            best = far;
            found = s;
        }
    }
    *fresh = !found;
    return found ? found : oldest;
}

/* It began with this read. True if it goes on from another file. */
static bool begin(struct read_stream *s, uint64_t off, uint64_t *carry)
{
    if (off >= STREAM_NEAR || !*carry) {
        *s = (struct read_stream){.next = off, .upto = off};
        return false;
    }
    *s = (struct read_stream){.got = *carry};
    *carry = 0;
    return true;
}

/* What is known of what comes: bytes from its next one on. */
static uint64_t ahead_of(const struct read_stream *s)
{
    return s->upto > s->next ? s->upto - s->next : 0;
}

size_t read_streams_note(struct read_streams *r, uint64_t off, size_t len, uint64_t size,
                         uint64_t *carry, uint64_t *from)
{
    uint64_t end = off + len, want;
    int fresh;
    struct read_stream *s = stream_for(r, off, &fresh);
    bool carried = fresh && begin(s, off, carry);

    s->used = ++r->clock;
    if (end <= s->next)
        return 0;
    if (off > s->upto && !carried)
        s->got /= 2; /* nobody wanted what was fetched in between */
    /* One read in the middle of a file tells nothing; at its beginning it does. */
    if (!fresh || off == 0)
        s->got += end - (off > s->next ? off : s->next);
    s->next = end;
    if (s->upto < end && !carried)
        s->upto = end;
    want = s->got < STREAM_AHEAD ? s->got : STREAM_AHEAD;
    if (size - end < STREAM_NEAR)
        *carry = want;
    if (want < STREAM_LEAST || ahead_of(s) > want / 2)
        return 0;
    *from = s->upto;
    s->upto = s->next + want;
    return (size_t)(s->upto - *from);
}
