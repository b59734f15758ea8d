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

size_t read_streams_note(struct read_streams *r, uint64_t off, size_t len, uint64_t *from)
{
    uint64_t end = off + len, want;
    int fresh;
    struct read_stream *s = stream_for(r, off, &fresh);

    if (fresh)
        *s = (struct read_stream){.next = off, .upto = off};
    s->used = ++r->clock;
    if (end <= s->next)
        return 0;
    if (off > s->upto)
        s->got /= 2; /* nobody wanted what was fetched in between */
    /* One read in the middle of a file tells nothing; at its beginning it does. */
    if (!fresh || off == 0)
        s->got += end - (off > s->next ? off : s->next);
    s->next = end;
    if (s->upto < end)
        s->upto = end;
    want = s->got < STREAM_AHEAD ? s->got : STREAM_AHEAD;
    if (want < STREAM_LEAST || s->upto - s->next > want / 2)
        return 0;
    *from = s->upto;
    s->upto = s->next + want;
    return (size_t)(s->upto - *from);
}
