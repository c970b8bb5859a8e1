/* The main for simulated time: requests on standard input, answers on standard output, until the pipe closes.
   The protocol stands in docs/submit-an-image.md; little-endian throughout, as the hosts that run it are. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "core.h"
#include "mains.h"

enum { HEAD = 10, FRAME = 16, MOST = 1 << 20 };
static uint8_t request[MOST], frames_out[MOST], lines_out[MOST];
static size_t frames_size, lines_size;
static uint16_t frames_count, lines_count;

static void append(uint8_t *to, size_t *size, const void *bytes, size_t length)
{
    if (*size + length <= MOST) {
        memcpy(to + *size, bytes, length);
        *size += length;
    }
}

static void send(const struct frame *frame)
{
    int64_t time_ns = real_ns(frame->time_ns);
    uint8_t bus = 0;
    append(frames_out, &frames_size, &time_ns, sizeof time_ns);
    append(frames_out, &frames_size, &bus, 1);
    append(frames_out, &frames_size, &frame->id, 4);
    append(frames_out, &frames_size, &frame->flags, 2);
    append(frames_out, &frames_size, &frame->length, 1);
    append(frames_out, &frames_size, frame->data, frame->length);
    frames_count++;
}

static void say(int64_t time_ns, const char *text)
{
    int64_t stamp_ns = real_ns(time_ns);
    uint16_t size = (uint16_t)(strlen(text) + 2);
    append(lines_out, &lines_size, &stamp_ns, sizeof stamp_ns);
    append(lines_out, &lines_size, &size, 2);
    append(lines_out, &lines_size, text, strlen(text));
    append(lines_out, &lines_size, "\r\n", 2);
    lines_count++;
}

static bool whole(void *to, size_t length)
{
    for (size_t have = 0; have < length;) {
        ssize_t got = read(0, (uint8_t *)to + have, length - have);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

static void tell(const void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t put_ = write(1, (const uint8_t *)bytes + done, length - done);
        if (put_ <= 0)
            exit(1);
        done += (size_t)put_;
    }
}

static size_t frames_in(struct frame *frames, size_t most, uint32_t size)
{
    uint16_t count;
    size_t at = HEAD, kept = 0;
    memcpy(&count, request + 8, 2);
    for (uint16_t n = 0; n < count && at + FRAME <= size; n++) {
        struct frame frame = {0};
        memcpy(&frame.time_ns, request + at, 8);
        memcpy(&frame.id, request + at + 9, 4);
        memcpy(&frame.flags, request + at + 13, 2);
        frame.length = request[at + 15];
        at += FRAME;
        if (frame.length <= sizeof frame.data && at + frame.length <= size && kept < most) {
            memcpy(frame.data, request + at, frame.length);
            frame.time_ns = device_ns(frame.time_ns);
            frames[kept++] = frame;
        }
        at += frame.length;
    }
    return kept;
}

static void answer(void)
{
    int64_t due_ns = real_ns(core_due_ns());
    uint32_t size = (uint32_t)(20 + frames_size + lines_size);
    tell(&size, 4);
    tell(&due_ns, 8);
    tell(&due_ns, 8);
    tell(&frames_count, 2);
    tell(frames_out, frames_size);
    tell(&lines_count, 2);
    tell(lines_out, lines_size);
    frames_size = lines_size = frames_count = lines_count = 0;
}

int stepper(void)
{
    core_connect((struct outlets){send, say});
    static struct frame frames[256];
    bool started = false;
    uint32_t size;
    while (whole(&size, 4) && size >= HEAD && size <= MOST && whole(request, size)) {
        int64_t limit_ns;
        memcpy(&limit_ns, request, 8);
        if (!started || core_leaves()) {
            clock_zero_ns = limit_ns;
            core_start(device_ns(limit_ns));
            started = true;
        }
        core_step(device_ns(limit_ns), frames, frames_in(frames, 256, size));
        answer();
    }
    return 0;
}
