/*
 * samples.c - see samples.h.
 */
#include "samples.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10, TEXT_MAX = 16 << 20 };

static int read_text(struct buf *b, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 1;
    uint8_t *to;

    if (fd < 0)
        return -errno;
    buf_clear(b);
    while (n > 0 && b->len < TEXT_MAX && (to = buf_reserve(b, READ_BYTES))) {
        n = read(fd, to, READ_BYTES);
        b->len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0)
        n = -errno;
    close(fd);
    buf_append(b, "", 1);
    return n < 0 ? (int)n : buf_error(b);
}

/* name{store="...",kind="..."} value: cut into its pieces. */
static bool parse(char *line, struct sample *s)
{
    char *open = strchr(line, '{'), *close = strrchr(line, '}'), *quote, *end;

    if (line[0] == '#' || !open || !close || close < open)
        return false;
    *open = *close = '\0';
    s->name = line;
    s->label = "";
    s->value = strtod(close + 1, &end);
    if (end == close + 1)
        return false;
    if (strncmp(open + 1, "store=\"", 7) == 0 && !strstr(open + 1, "\","))
        return true;
    quote = close > open + 1 && close[-1] == '"' ? close - 1 : NULL;
    if (quote) {
        *quote = '\0';
        quote = strrchr(open + 1, '"');
        s->label = quote ? quote + 1 : "";
    }
    return true;
}

int samples_read(struct samples *s, const char *path)
{
    int err = read_text(&s->text, path);
    char *rest = (char *)s->text.data, *line;

    s->n = 0;
    while (!err && (line = strsep(&rest, "\n"))) {
        if (s->n == s->cap) {
            size_t cap = s->cap ? 2 * s->cap : 512;
            void *p = realloc(s->list, cap * sizeof(*s->list));

            if (!p)
                return -ENOMEM;
            s->list = p;
            s->cap = cap;
        }
        if (parse(line, &s->list[s->n]))
            s->n++;
    }
    return err;
}

void samples_release(struct samples *s)
{
    buf_release(&s->text);
    free(s->list);
    memset(s, 0, sizeof(*s));
}

double sample_of(const struct samples *s, const char *name, const char *label)
{
    size_t i;

    for (i = 0; i < s->n; i++)
        if (strcmp(s->list[i].name, name) == 0 && strcmp(s->list[i].label, label) == 0)
            return s->list[i].value;
    return 0;
}
