/* The main for the user-space hub: a stream of 80-byte records on a unix socket, the console on standard output.
   SHIPEI_HUB names the socket, SHIPEI_BUSES the buses. Protocol: docs/submit-an-image.md. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host.h"
#include "mains.h"

enum { RECORD = 80, AT_ID = 8, AT_FLAGS = 12, AT_LENGTH = 15, AT_DATA = 16, ROOM = 64 * RECORD };
static int wire = -1;

static void send_frame(const struct frame *frame)
{
    uint8_t record[RECORD] = {0};
    memcpy(record + AT_ID, &frame->id, 4);
    memcpy(record + AT_FLAGS, &frame->flags, 2);
    record[AT_LENGTH] = frame->length;
    memcpy(record + AT_DATA, frame->data, frame->length);
    if (write(wire, record, sizeof record) != sizeof record)
        exit(1);
}

static bool join(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("SHIPEI_HUB"), *buses = getenv("SHIPEI_BUSES");
    char hello[256], c = 0;
    if (!path || !buses)
        return false;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    wire = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(wire, (struct sockaddr *)&address, sizeof address))
        return false;
    int size = snprintf(hello, sizeof hello, "{\"shipei_hub\": 1, \"bus\": \"%.*s\", \"listen\": true, \"echo\": false}\n", (int)strcspn(buses, " "), buses);
    if (write(wire, hello, (size_t)size) != size)
        return false;
    while (c != '\n')
        if (read(wire, &c, 1) != 1)
            return false;
    return true;
}

static size_t frames_of(uint8_t *bytes, size_t *have, struct frame *frames)
{
    size_t count = 0, at = 0;
    for (; at + RECORD <= *have; at += RECORD) {
        struct frame frame = {.time_ns = device_ns(monotonic_ns()), .length = bytes[at + AT_LENGTH]};
        memcpy(&frame.id, bytes + at + AT_ID, 4);
        memcpy(&frame.flags, bytes + at + AT_FLAGS, 2);
        if (frame.length > sizeof frame.data)
            continue; /* longer than a classic frame: not for this ECU */
        memcpy(frame.data, bytes + at + AT_DATA, frame.length);
        frames[count++] = frame;
    }
    *have -= at;
    memmove(bytes, bytes + at, *have);
    return count;
}

int hub(void)
{
    static uint8_t bytes[ROOM];
    static struct frame frames[ROOM / RECORD];
    size_t have = 0;
    core_connect((struct outlets){send_frame, say});
    signal(SIGPIPE, SIG_IGN);
    if (!join()) {
        fprintf(stderr, "no hub\r\n");
        return 2;
    }
    clock_zero_ns = monotonic_ns();
    core_start(device_ns(clock_zero_ns));
    while (!core_leaves()) {
        if (wait_for(wire)) {
            ssize_t got = read(wire, bytes + have, sizeof bytes - have);
            if (got <= 0)
                return 0; /* the hub is gone */
            have += (size_t)got;
        }
        size_t count = frames_of(bytes, &have, frames);
        core_step(device_ns(monotonic_ns()), frames, count);
    }
    return 0;
}
