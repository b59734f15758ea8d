/*
 * kill.h - the places in the code where a test lets the process die.
 *
 * KILL_POINT("name") does nothing and costs nothing, except in a build with
 * -DKILL_POINTS (build/kill, for tests/mount_kill.sh). There SILTFS_KILL=name:n in the
 * environment ends the process by SIGKILL when it comes to that place for the n-th time.
 * Names are unique; the test finds them in the source.
 */
#ifndef LSM_KILL_H
#define LSM_KILL_H

#ifdef KILL_POINTS
void kill_point(const char *name);
#define KILL_POINT(name) kill_point(name)
#else
#define KILL_POINT(name) ((void)0)
#endif

#endif
