/*
 * check_report.c - what a check says: a line a problem, with inodes by number and,
 * where it can be told, by path.
 *
 * Names are anything but '/' and NUL, and a store may be hostile: what could end a
 * line or talk to a terminal is escaped, and no path is followed further up than a
 * line has room for.
 */
#include "check_impl.h"

#include <stdarg.h>

enum {
    LINE_MAX_BYTES = 2048,
    PATH_STEPS = 64,
    PATH_MAX_BYTES = 512,
    ASCII_MAX = 0x7e,
};

static void report_line(struct check *c, const char *line)
{
    if (c->report)
        c->report(c->arg, line);
}

void problem(struct check *c, const char *mend, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    int n;

    c->problems++;
    if (!mend)
        c->left++;
    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (c->repair && n >= 0 && (size_t)n < sizeof(line))
        snprintf(line + n, sizeof(line) - (size_t)n, "; %s", mend ? mend : "left so");
    report_line(c, line);
}

void remark(struct check *c, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    report_line(c, line);
}

/* ---- names ---- */

static size_t escape(char to[4], uint8_t byte, uint8_t max)
{
    static const char digits[] = "0123456789abcdef";

    if (byte >= 0x20 && byte != 0x7f && byte != '\\' && byte <= max) {
        to[0] = (char)byte;
        return 1;
    }
    to[0] = '\\';
    to[1] = 'x';
    to[2] = digits[byte >> 4];
    to[3] = digits[byte & 15];
    return 4;
}

static const char *text_bytes(struct slice bytes, uint8_t max, struct text *t)
{
    size_t len = 0, i;

    for (i = 0; i < bytes.len && len + 8 < sizeof(t->s); i++)
        len += escape(t->s + len, bytes.data[i], max);
    snprintf(t->s + len, sizeof(t->s) - len, "%s", i < bytes.len ? "..." : "");
    return t->s;
}

const char *text_key(struct slice key, struct text *t)
{
    return text_bytes(key, ASCII_MAX, t);
}

const char *text_name(struct slice name, struct text *t)
{
    return text_bytes(name, UINT8_MAX, t); /* most likely UTF-8 */
}

/* ---- paths, from the end ---- */

struct path {
    char s[PATH_MAX_BYTES];
    size_t at; /* the path is s + at */
};

static bool path_prepend(struct path *p, struct slice name)
{
    size_t i;

    for (i = name.len; i-- > 0;) {
        char e[4];
        size_t n = escape(e, name.data[i], UINT8_MAX);

        if (p->at < n + 8) { /* room for "/" and "..." */
            memcpy(p->s + (p->at -= 3), "...", 3);
            return false;
        }
        memcpy(p->s + (p->at -= n), e, n);
    }
    p->s[--p->at] = '/';
    return true;
}

/* The name under which the entry `ino` leads to the inode of that number. */
static bool own_name(struct check *c, uint64_t ino, uint64_t *parent, struct slice *name)
{
    const struct known *k = known_find(&c->inodes, ino);
    struct dentry d;
    struct key key;

    if (!k || !k->parent ||
        lsm_get(c->db, NULL, key_dentry(&key, k->parent, ino), &c->name) ||
        dentry_decode(c->name.value, &d) || d.ino != ino)
        return false;
    *parent = k->parent;
    *name = d.name;
    return true;
}

/* False when it is not known, or goes round in a circle. */
static bool path_of(struct check *c, uint64_t ino, struct path *p)
{
    uint64_t mark = ino; /* some inode on the way; moved on after 1, 2, 4... steps */
    struct slice name;
    unsigned i;

    p->at = sizeof(p->s) - 1;
    p->s[p->at] = '\0';
    if (ino == FS_ROOT)
        p->s[--p->at] = '/';
    for (i = 1; ino != FS_ROOT; i++) {
        if (!own_name(c, ino, &ino, &name) || ino == mark)
            return false;
        if (!path_prepend(p, name))
            return true;
        if (i == PATH_STEPS && ino != FS_ROOT) {
            memcpy(p->s + (p->at -= 3), "...", 3);
            return true;
        }
        if (!(i & (i - 1)))
            mark = ino;
    }
    return true;
}

const char *text_inode(struct check *c, uint64_t ino, struct text *t)
{
    struct path p;

    if (path_of(c, ino, &p))
        snprintf(t->s, sizeof(t->s), "inode %" PRIu64 " (%s)", ino, p.s + p.at);
    else
        snprintf(t->s, sizeof(t->s), "inode %" PRIu64, ino);
    return t->s;
}

const char *text_entry(struct check *c, uint64_t dir, struct slice name, struct text *t)
{
    struct text escaped;
    struct path p;

    text_name(name, &escaped);
    if (path_of(c, dir, &p))
        snprintf(t->s, sizeof(t->s), "%s%s%.256s", p.s + p.at, dir == FS_ROOT ? "" : "/",
                 escaped.s);
    else
        snprintf(t->s, sizeof(t->s), "%.256s in directory %" PRIu64, escaped.s, dir);
    return t->s;
}
