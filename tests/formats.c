/*
 * formats.c - see formats.h.
 */
#include "tests/formats.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char message[512];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(message, sizeof(message), format, ap);
    va_end(ap);
    return message;
}

/* ---- JSON: each function moves *p behind what it found; false: it is not there ---- */

enum { DEPTH_MAX = 32, NAMES_MAX = 256 };

static void json_space(const char **p)
{
    *p += strspn(*p, " \t\n\r");
}

static bool mark(const char **p, char c)
{
    bool is = **p == c;

    *p += is;
    return is;
}

static bool json_string(const char **p)
{
    if (!mark(p, '"'))
        return false;
    for (; **p != '"'; (*p)++) {
        if ((unsigned char)**p < 0x20)
            return false;
        if (**p != '\\')
            continue;
        (*p)++;
        if (**p == 'u' && strspn(*p + 1, "0123456789abcdefABCDEF") >= 4)
            *p += 4;
        else if (!**p || !strchr("\"\\/bfnrt", **p))
            return false;
    }
    (*p)++;
    return true;
}

static bool digits(const char **p)
{
    size_t n = strspn(*p, "0123456789");

    *p += n;
    return n > 0;
}

static bool json_number(const char **p)
{
    *p += **p == '-';
    if (**p == '0')
        (*p)++;
    else if (!digits(p))
        return false;
    if (**p == '.' && ((*p)++, !digits(p)))
        return false;
    if (**p == 'e' || **p == 'E') {
        (*p)++;
        *p += **p == '+' || **p == '-';
        return digits(p);
    }
    return true;
}

static bool json_any(const char **p, int depth);

static bool is_new_name(const char **seen, size_t *n, const char *name, size_t len)
{
    size_t i;

    for (i = 0; i < *n; i++)
        if (strncmp(seen[i], name, len) == 0)
            return false;
    if (*n < NAMES_MAX)
        seen[(*n)++] = name;
    return true;
}

/* With names: an object. */
static bool json_list(const char **p, int depth, char end, bool names)
{
    const char *seen[NAMES_MAX];
    size_t n = 0;

    (*p)++;
    json_space(p);
    if (mark(p, end))
        return true;
    for (;;) {
        json_space(p);
        if (names) {
            const char *name = *p;

            if (!json_string(p) || !is_new_name(seen, &n, name, (size_t)(*p - name)))
                return false;
            json_space(p);
            if (!mark(p, ':'))
                return false;
        }
        if (!json_any(p, depth + 1))
            return false;
        if (mark(p, end))
            return true;
        if (!mark(p, ','))
            return false;
    }
}

static bool json_word(const char **p, const char *word)
{
    size_t n = strlen(word);
    bool is = strncmp(*p, word, n) == 0;

    *p += is ? n : 0;
    return is;
}

static bool json_any(const char **p, int depth)
{
    bool ok;

    json_space(p);
    if (depth > DEPTH_MAX)
        return false;
    if (**p == '{')
        ok = json_list(p, depth, '}', true);
    else if (**p == '[')
        ok = json_list(p, depth, ']', false);
    else if (**p == '"')
        ok = json_string(p);
    else
        ok = json_word(p, "true") || json_word(p, "false") || json_word(p, "null") ||
             json_number(p);
    json_space(p);
    return ok;
}

const char *json_wrong(const char *text)
{
    const char *p = text;

    if (json_any(&p, 0) && !*p)
        return NULL;
    return wrong("at %zu: %.40s", (size_t)(p - text), *p ? p : "(end)");
}

double json_value(const char *text, const char *name)
{
    char quoted[128];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\": ", name);
    at = strstr(text, quoted);
    return at ? strtod(at + strlen(quoted), NULL) : -1;
}

/* ---- Prometheus ---- */

enum { SAMPLES_MAX = 4096 };

struct prom {
    char family[128], type[16]; /* of the TYPE line last seen */
    char help[128];             /* of the HELP line last seen */
    char *done[SAMPLES_MAX];    /* families that are over; samples seen, with labels */
    size_t n_done;
    double bound, buckets; /* of the histogram's bucket last seen */
    bool in_buckets, has_inf;
};

static bool seen_before(struct prom *m, const char *what, size_t len)
{
    size_t i;

    for (i = 0; i < m->n_done; i++)
        if (strlen(m->done[i]) == len && strncmp(m->done[i], what, len) == 0)
            return true;
    if (m->n_done < SAMPLES_MAX)
        m->done[m->n_done++] = strndup(what, len);
    return m->n_done == SAMPLES_MAX;
}

static size_t name_length(const char *s, bool colon)
{
    size_t n = 0;

    while (isalpha((unsigned char)s[n]) || s[n] == '_' || (colon && s[n] == ':') ||
           (n && isdigit((unsigned char)s[n])))
        n++;
    return n;
}

/* {a="b",...}: moves *p behind it; *bound: le's value. */
static bool labels(const char **p, double *bound)
{
    for ((*p)++; **p != '}';) {
        size_t n = name_length(*p, false);
        const char *name = *p, *value;

        if (!n || strncmp(*p + n, "=\"", 2) != 0)
            return false;
        value = *p += n + 2;
        for (; **p != '"'; (*p)++) {
            if (!**p || **p == '\n')
                return false;
            if (**p == '\\' && !strchr("\\\"n", *++*p))
                return false;
        }
        if (n == 2 && strncmp(name, "le", 2) == 0)
            *bound = strtod(value, NULL);
        (*p)++;
        if (**p == ',')
            (*p)++;
        else if (**p != '}')
            return false;
    }
    (*p)++;
    return true;
}

static const char *comment(struct prom *m, const char *line)
{
    bool type = strncmp(line, "# TYPE ", 7) == 0;
    const char *name = line + 7;
    size_t n = name_length(name, true);

    if (!type && strncmp(line, "# HELP ", 7) != 0)
        return wrong("neither HELP nor TYPE: %s", line);
    if (!n || name[n] != ' ' || n >= sizeof(m->family))
        return wrong("no name: %s", line);
    if (!type) {
        snprintf(m->help, sizeof(m->help), "%.*s", (int)n, name);
        return seen_before(m, line, 7 + n) ? wrong("again: %s", line) : NULL;
    }
    snprintf(m->family, sizeof(m->family), "%.*s", (int)n, name);
    snprintf(m->type, sizeof(m->type), "%s", name + n + 1);
    m->in_buckets = m->has_inf = false;
    if (strcmp(m->help, m->family) != 0)
        return wrong("no HELP before: %s", line);
    if (strcmp(m->type, "counter") && strcmp(m->type, "gauge") &&
        strcmp(m->type, "histogram"))
        return wrong("an unknown type: %s", line);
    if (strcmp(m->type, "counter") == 0 && strncmp(name + n - 6, "_total", 6) != 0)
        return wrong("a counter whose name does not end in _total: %s", line);
    return seen_before(m, line, 7 + n) ? wrong("again: %s", line) : NULL;
}

static const char *bucket(struct prom *m, double bound, double value, const char *line)
{
    if (m->has_inf || (m->in_buckets && (bound <= m->bound || value < m->buckets)))
        return wrong("buckets do not ascend: %s", line);
    m->in_buckets = true;
    m->has_inf = bound > 1e300;
    m->bound = bound;
    m->buckets = value;
    return NULL;
}

static const char *sample(struct prom *m, const char *line)
{
    size_t n = name_length(line, true), family = strlen(m->family);
    const char *p = line + n, *rest = line + family;
    bool histogram = strcmp(m->type, "histogram") == 0;
    double bound = -1, value;
    char *end;

    if (!n || strncmp(line, m->family, family) != 0)
        return wrong("not of the family %s: %s", m->family, line);
    if (*p == '{' && !labels(&p, &bound))
        return wrong("labels: %s", line);
    if (seen_before(m, line, (size_t)(p - line)))
        return wrong("again: %s", line);
    if (*p++ != ' ')
        return wrong("no space: %s", line);
    value = strtod(p, &end);
    if (end == p || *end || isspace((unsigned char)*p))
        return wrong("no number: %s", line);
    if (!histogram)
        return n == family ? NULL : wrong("not of the family %s: %s", m->family, line);
    if (strncmp(rest, "_bucket{", 8) == 0)
        return bucket(m, bound, value, line);
    if (strncmp(rest, "_count", n - family) == 0 && n - family == 6)
        return m->has_inf && value == m->buckets ? NULL : wrong("not +Inf's: %s", line);
    return n - family == 4 && strncmp(rest, "_sum", 4) == 0 ? NULL
                                                            : wrong("a sample: %s", line);
}

const char *prometheus_wrong(const char *text)
{
    struct prom *m = calloc(1, sizeof(*m));
    char *copy = strdup(text), *line, *save;
    const char *bad = NULL;
    size_t i;

    if (!*text || text[strlen(text) - 1] != '\n' || strstr(text, "\n\n"))
        bad = wrong("lines");
    for (line = strtok_r(copy, "\n", &save); line && !bad;
         line = strtok_r(NULL, "\n", &save))
        bad = *line == '#' ? comment(m, line) : sample(m, line);
    for (i = 0; i < m->n_done; i++)
        free(m->done[i]);
    free(copy);
    free(m);
    return bad;
}

double prometheus_value(const char *text, const char *name)
{
    size_t n = strlen(name);

    for (; text; text = strchr(text, '\n'), text += text != NULL)
        if (strncmp(text, name, n) == 0 && text[n] == ' ')
            return strtod(text + n, NULL);
    return -1;
}
