/*
 * http.h - `--metrics=ADDRESS:PORT`: what a mount tells of itself, for a browser and for
 * Prometheus. Reading only, no secrets but the store's path; who can reach the port can
 * read it.
 *
 *     /            a page that draws it, live (page.html)
 *     /metrics     Prometheus' text format
 *     /stats.json  as MNT/.siltfs/stats.json
 *
 * Built with libmicrohttpd, if that is there (HAVE_MICROHTTPD).
 */
#ifndef MOUNT_HTTP_H
#define MOUNT_HTTP_H

#include "ops.h"

struct http;

/* where: "127.0.0.1:9090", "[::1]:9090", ":9090" (loopback). Port 0: any; the log tells
 * which. Its threads take no signals: call session_catch_signals before. */
int http_start(const char *where, struct ops *o, struct http **out, struct why *why);
/* NULL is fine. */
void http_stop(struct http *h);

#endif
