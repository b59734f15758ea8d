/*
 * http.c - see http.h.
 */
#include "http.h"

#ifdef HAVE_MICROHTTPD

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>

#include "control.h"

enum { CONNECTIONS = 16, TIMEOUT_S = 10 };

struct http {
    struct MHD_Daemon *daemon;
    struct ops *ops;
};

/* page.html, by the linker. */
extern const char page_begin[] __asm__("_binary_mount_page_html_start");
extern const char page_end[] __asm__("_binary_mount_page_html_end");

static const struct path {
    const char *path, *type;
    report_fn *report; /* NULL: the page */
} paths[] = {
    {"/", "text/html; charset=utf-8", NULL},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", report_prometheus},
    {"/stats.json", "application/json", report_json},
};

static enum MHD_Result send_text(struct MHD_Connection *c, unsigned status, void *text,
                                 size_t len, enum MHD_ResponseMemoryMode mode,
                                 const char *type)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);
    enum MHD_Result result;

    if (!r) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(text);
        return MHD_NO;
    }
    MHD_add_response_header(r, "Content-Type", type);
    MHD_add_response_header(r, "Cache-Control", "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(
        r, "Content-Security-Policy",
        "default-src 'none'; script-src 'unsafe-inline'; style-src "
        "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'");
    result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *text)
{
    return send_text(c, status, (void *)text, strlen(text), MHD_RESPMEM_PERSISTENT,
                     "text/plain");
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_len, void **state)
{
    struct http *h = arg;
    char *text = NULL;
    size_t len, i;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(url, paths[i].path) == 0)
            break;
    if (i == sizeof(paths) / sizeof(paths[0]))
        return refuse(c, MHD_HTTP_NOT_FOUND, "there are /, /metrics and /stats.json\n");
    if (!paths[i].report)
        return send_text(c, MHD_HTTP_OK, (void *)page_begin,
                         (size_t)(page_end - page_begin), MHD_RESPMEM_PERSISTENT,
                         paths[i].type);
    if (control_report(h->ops, paths[i].report, &text, &len)) {
        free(text);
        return refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory\n");
    }
    return send_text(c, MHD_HTTP_OK, text, len, MHD_RESPMEM_MUST_FREE, paths[i].type);
}

/* ---- where ---- */

/* Numbers only: a daemon does not ask name servers. */
static int parse_where(const char *where, struct sockaddr_storage *to, struct why *why)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                             .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(where, ':');
    struct addrinfo *found;
    char host[64];
    size_t len;

    if (!colon || (size_t)(colon - where) >= sizeof(host))
        return why_set(why, -EINVAL, "--metrics=%s: give ADDRESS:PORT, as 127.0.0.1:9090",
                       where);
    len = (size_t)(colon - where);
    memcpy(host, where, len);
    host[len] = '\0';
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        memmove(host, host + 1, len - 2);
        host[len - 2] = '\0';
    }
    if (getaddrinfo(len ? host : "127.0.0.1", colon + 1, &hints, &found) != 0)
        return why_set(why, -EINVAL, "--metrics=%s: give ADDRESS:PORT, as 127.0.0.1:9090",
                       where);
    memcpy(to, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return 0;
}

int http_start(const char *where, struct ops *o, struct http **out, struct why *why)
{
    struct sockaddr_storage addr = {0};
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO;
    const union MHD_DaemonInfo *info;
    struct http *h;
    int err = parse_where(where, &addr, why);

    if (err)
        return err;
    h = calloc(1, sizeof(*h));
    if (!h)
        return why_set(why, -ENOMEM, "%s", strerror(ENOMEM));
    h->ops = o;
    if (addr.ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, answer, h, MHD_OPTION_SOCK_ADDR,
                                 (struct sockaddr *)&addr, MHD_OPTION_CONNECTION_LIMIT,
                                 (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
                                 (unsigned)TIMEOUT_S, MHD_OPTION_END);
    if (!h->daemon) {
        err = errno ? -errno : -EIO;
        free(h);
        return why_set(why, err, "--metrics=%s: %s", where, strerror(-err));
    }
    info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    if (info)
        err_log("metrics are served on port %u", info->port);
    *out = h;
    return 0;
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    MHD_stop_daemon(h->daemon);
    free(h);
}

#else

int http_start(const char *where, struct ops *o, struct http **out, struct why *why)
{
    return why_set(why, -EOPNOTSUPP,
                   "--metrics: this siltfs was built without libmicrohttpd; "
                   "MNT/.siltfs/metrics has the same for a collector of text files");
}

void http_stop(struct http *h)
{
}

#endif
