/* The main for a kernel's CAN bus: one raw socket, one event loop, the console on standard output.
   SHIPEI_CAN="BUS=CHANNEL ..." names the channel; ECU_WATCHDOG a watchdog device to feed. Ends when the core asks for a reset. */
#include <fcntl.h>
#include <linux/can.h>
#include <linux/can/raw.h>
#include <linux/watchdog.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"
#include "mains.h"
#include "network.h"

enum { FEED_MS = 500, RECEIVE_BYTES = 1 << 20 };
static int bus = -1, watchdog = -1;

static void send_frame(const struct frame *frame)
{
    struct can_frame out = {.can_id = frame->id, .len = frame->length};
    memcpy(out.data, frame->data, frame->length);
    if (write(bus, &out, sizeof out) < 0) { /* a full queue: the frame is lost, as on a bus that nobody acknowledges */
    }
}

static const char *channel(void)
{
    static char name[IFNAMSIZ];
    const char *told = getenv("SHIPEI_CAN"), *start = told ? strchr(told, '=') : NULL;
    snprintf(name, sizeof name, "%.*s", start ? (int)strcspn(start + 1, " ") : 4, start ? start + 1 : "can0");
    return name;
}

static bool open_bus(void)
{
    struct sockaddr_can address = {.can_family = AF_CAN};
    int size = RECEIVE_BYTES;
    bus = socket(PF_CAN, SOCK_RAW, CAN_RAW);
    address.can_ifindex = (int)if_nametoindex(channel());
    setsockopt(bus, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    return bus >= 0 && address.can_ifindex && !bind(bus, (struct sockaddr *)&address, sizeof address);
}

static void open_watchdog(void)
{
    const char *device = getenv("ECU_WATCHDOG");
    int timeout_s = WATCHDOG_S, cause = 0;
    if (!device || (watchdog = open(device, O_WRONLY | O_CLOEXEC)) < 0)
        return;
    ioctl(watchdog, WDIOC_SETTIMEOUT, &timeout_s);
    if (!ioctl(watchdog, WDIOC_GETBOOTSTATUS, &cause) && cause & WDIOF_CARDRESET)
        printf("SVC: reset by the watchdog\r\n");
}

static void feed(int64_t now_ns)
{
    static int64_t fed_ns;
    if (watchdog < 0 || now_ns - fed_ns < FEED_MS * MS || (core_frozen() && !WATCHDOG_FED_WHILE_FROZEN))
        return;
    if (write(watchdog, "\0", 1) == 1)
        fed_ns = now_ns;
}

static size_t receive(struct frame *frames, size_t most)
{
    size_t count = 0;
    struct can_frame in;
    while (count < most && recv(bus, &in, sizeof in, MSG_DONTWAIT) == sizeof in) {
        struct frame *frame = &frames[count++];
        frame->time_ns = device_ns(monotonic_ns());
        frame->flags = (uint16_t)((in.can_id & CAN_EFF_FLAG ? EXTENDED : 0) | (in.can_id & CAN_RTR_FLAG ? REMOTE : 0));
        frame->id = in.can_id & (in.can_id & CAN_EFF_FLAG ? CAN_EFF_MASK : CAN_SFF_MASK);
        frame->length = in.len;
        memcpy(frame->data, in.data, sizeof frame->data);
    }
    return count;
}

int socketcan(void)
{
    core_connect((struct outlets){send_frame, say});
    static struct frame frames[64];
    signal(SIGPIPE, SIG_IGN);
    if (!open_bus()) {
        fprintf(stderr, "no CAN channel %s\r\n", channel());
        return 2;
    }
    open_watchdog();
    clock_zero_ns = monotonic_ns();
    core_start(device_ns(clock_zero_ns));
    while (!core_leaves()) {
        wait_for(bus);
        size_t count = receive(frames, sizeof frames / sizeof *frames);
        core_step(device_ns(monotonic_ns()), frames, count);
        feed(monotonic_ns());
    }
    return 0;
}
