/* ISO 15765-2 on the device's side: one tester, normal addressing, frames filled up to eight bytes. */
#include <string.h>

#include "core.h"
#include "network.h"

enum { SINGLE, FIRST, CONSECUTIVE, FLOW };
enum { CONTINUE, WAIT, OVERFLOW };
enum { TIMEOUT_MS = 1000, FRAME = 8, FRAME_US = 1000 /* a frame takes less, with those that go before it; the separation begins behind it */ };

static uint8_t coming[ISOTP_MOST], going[ISOTP_MOST];
static size_t wanted, have, left, sent;
static uint8_t in_number, out_number;
static unsigned allowed;
static int64_t in_ns, asked_ns, due_ns, gap_ns;
static bool waits;

void isotp_start(void)
{
    wanted = left = 0;
    waits = false;
}

bool isotp_busy(void)
{
    return left > 0;
}

static void transmit(int64_t now_ns, const uint8_t *bytes, size_t length)
{
    struct frame frame = {.time_ns = now_ns, .id = UDS_RESPONSE, .length = FRAME};
    memset(frame.data, UDS_PADDING, FRAME);
    memcpy(frame.data, bytes, length);
    bus_send(&frame);
}

static void flow(int64_t now_ns, uint8_t status)
{
    uint8_t bytes[] = {(uint8_t)(FLOW << 4 | status), 0, 0};
    transmit(now_ns, bytes, sizeof bytes);
}

static void begin(int64_t now_ns, const uint8_t *data)
{
    size_t size = (size_t)(data[0] & 15) << 8 | data[1];
    wanted = 0;
    if (size < FRAME)
        return;
    if (size > ISOTP_MOST) {
        flow(now_ns, OVERFLOW);
        return;
    }
    wanted = size;
    have = FRAME - 2;
    in_number = 1;
    in_ns = now_ns;
    memcpy(coming, data + 2, have);
    flow(now_ns, CONTINUE);
}

static size_t go_on(int64_t now_ns, const uint8_t *data, size_t length, uint8_t *request)
{
    if ((data[0] & 15) != in_number || now_ns - in_ns > TIMEOUT_MS * MS) {
        wanted = 0;
        return 0;
    }
    size_t part = wanted - have < length - 1 ? wanted - have : length - 1;
    memcpy(coming + have, data + 1, part);
    have += part;
    in_number = (in_number + 1) & 15;
    in_ns = now_ns;
    if (have < wanted)
        return 0;
    memcpy(request, coming, wanted);
    have = wanted;
    wanted = 0;
    return have;
}

static void flowed(int64_t now_ns, const uint8_t *data)
{
    uint8_t status = data[0] & 15, separation = data[2];
    if (status == WAIT) {
        asked_ns = now_ns;
    } else if (status == CONTINUE) {
        waits = false;
        allowed = data[1] ? data[1] : ~0u;
        gap_ns = separation <= 0x7F ? separation * MS : separation >= 0xF1 && separation <= 0xF9 ? (separation - 0xF0) * MS / 10 : 127 * MS;
        due_ns = now_ns;
    } else {
        left = 0;
    }
}

size_t isotp_receive(int64_t now_ns, const uint8_t *data, size_t length, uint8_t *request)
{
    if (!length)
        return 0;
    size_t low = data[0] & 15;
    switch (data[0] >> 4) {
    case SINGLE:
        wanted = 0;
        if (!low || low >= length || low > FRAME - 1)
            return 0;
        memcpy(request, data + 1, low);
        return low;
    case FIRST:
        if (length == FRAME)
            begin(now_ns, data);
        return 0;
    case CONSECUTIVE:
        return wanted && length > 1 ? go_on(now_ns, data, length, request) : 0;
    case FLOW:
        if (left && waits && length >= 3)
            flowed(now_ns, data);
        return 0;
    default:
        return 0;
    }
}

void isotp_send(int64_t now_ns, const uint8_t *data, size_t length)
{
    uint8_t bytes[FRAME];
    left = 0;
    if (length < FRAME) {
        bytes[0] = (uint8_t)length;
        memcpy(bytes + 1, data, length);
        transmit(now_ns, bytes, length + 1);
        return;
    }
    bytes[0] = (uint8_t)(FIRST << 4 | length >> 8);
    bytes[1] = (uint8_t)length;
    memcpy(bytes + 2, data, FRAME - 2);
    transmit(now_ns, bytes, FRAME);
    memcpy(going, data, length);
    sent = FRAME - 2;
    left = length - sent;
    out_number = 1;
    waits = true;
    asked_ns = now_ns;
}

void isotp_main(int64_t now_ns)
{
    if (left && waits && now_ns - asked_ns > TIMEOUT_MS * MS)
        left = 0;
    while (left && !waits && due_ns <= now_ns) {
        uint8_t bytes[FRAME];
        size_t part = left < FRAME - 1 ? left : FRAME - 1;
        bytes[0] = (uint8_t)(CONSECUTIVE << 4 | out_number);
        memcpy(bytes + 1, going + sent, part);
        transmit(now_ns, bytes, part + 1);
        sent += part;
        left -= part;
        out_number = (out_number + 1) & 15;
        due_ns = now_ns + (gap_ns ? gap_ns + FRAME_US * MS / 1000 : 0);
        if (!--allowed && left) {
            waits = true;
            asked_ns = now_ns;
        }
    }
}

int64_t isotp_due_ns(void) /* when a frame of an answer is due */
{
    return left && !waits ? due_ns : NEVER;
}
