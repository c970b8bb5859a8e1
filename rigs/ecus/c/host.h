/* What the mains on a host share: its clock, its console, and how long they wait. */
#ifndef HOST_H
#define HOST_H
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "core.h"

static inline int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 * MS + now.tv_nsec;
}

static inline void say(int64_t time_ns, const char *text)
{
    (void)time_ns;
    printf("%s\r\n", text);
    fflush(stdout);
}

/* Wait for bytes, until the core wants to run, 100 ms at most; whether there are any. */
static inline bool wait_for(int file)
{
    int64_t wait_ns = real_ns(core_due_ns()) - monotonic_ns();
    struct timespec wait = {.tv_nsec = wait_ns < 0 ? 0 : wait_ns > 100 * MS ? 100 * MS : wait_ns};
    struct pollfd waits = {.fd = file, .events = POLLIN};
    return ppoll(&waits, 1, &wait, NULL) > 0;
}

#endif
