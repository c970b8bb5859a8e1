/* Communication: what comes in is unpacked and supervised, what goes out is packed and sent in its cycle, all by given time. */
#include <math.h>
#include <string.h>

#include "core.h"
#include "network.h"

enum { QUEUE = 256, LONGEST_STALL_MS = 200 };

static struct frame queue[QUEUE];
static size_t queued;
static double values[SIGNALS];
static int64_t good_ns[MESSAGES], next_ns[MESSAGES], started_ns, tick_ns, ready_ns;
static uint8_t counters[MESSAGES];
static int16_t pages[MESSAGES];
static bool heard[MESSAGES], muted, frozen;
static int leaves;

static struct outlets outlets;

void core_connect(struct outlets to) { outlets = to; }
void bus_send(const struct frame *frame) { outlets.send(frame); }
void console_say(int64_t time_ns, const char *text) { outlets.say(time_ns, text); }

double get(int signal) { return values[signal]; }
void put(int signal, double value) { values[signal] = value; }
void mute(bool quiet) { muted = quiet; }
int core_leaves(void) { return leaves; }
void core_leave(int what) { leaves = what; }
bool core_frozen(void) { return frozen; }
void core_freeze(void) { frozen = true; }
int64_t core_started_ns(void) { return started_ns; }

bool lost(int message, int64_t now_ns)
{
    int64_t timeout_ns = messages[message].timeout_ms * MS;
    return !good_ns[message] || (timeout_ns && now_ns - good_ns[message] > timeout_ns);
}

void core_start(int64_t now_ns)
{
    queued = 0;
    muted = frozen = false;
    leaves = LEAVES_NOT;
    started_ns = tick_ns = now_ns;
    ready_ns = now_ns + READY_MS * MS;
    memset(values, 0, sizeof values);
    memset(good_ns, 0, sizeof good_ns);
    memset(counters, 0, sizeof counters);
    memset(heard, 0, sizeof heard);
    memset(pages, 0, sizeof pages);
    int sent = 0;
    for (int m = 0; m < MESSAGES; m++)
        next_ns[m] = messages[m].cycle_ms ? now_ns + (COM_START_MS + TICK_MS * sent++) * MS : NEVER;
    console_say(now_ns, START_LINE);
    nm_start(now_ns);
    uds_start(now_ns);
    application_start(now_ns);
}

/* ---- in */

static uint64_t raw_of(const uint8_t *data, int length)
{
    uint64_t raw = 0;
    for (int n = 0; n < length; n++)
        raw |= (uint64_t)data[n] << 8 * n;
    return raw;
}

static double value_of(const struct signal *s, uint64_t raw)
{
    uint64_t mask = ((uint64_t)1 << s->bits) - 1;
    int64_t number = (int64_t)(raw >> s->start & mask);
    if (s->is_signed && number >> (s->bits - 1))
        number -= (int64_t)1 << s->bits;
    return (double)number * s->scale + s->offset;
}

static bool believed(int m, const uint8_t *data)
{
    const struct message *found = &messages[m];
    if (found->profile == NONE)
        return true;
    if (CHECK_CRC && !e2e_holds(found, data))
        return false;
    uint8_t counter = e2e_counter(found, data);
    unsigned period = e2e_period(found), step = heard[m] ? (counter + period - counters[m]) % period : 1;
    counters[m] = counter;
    heard[m] = true;
    return !CHECK_COUNTER || (step >= 1 && step <= 2);
}

static void unpack(int64_t now_ns, int m, const uint8_t *data)
{
    const struct message *found = &messages[m];
    uint64_t raw = raw_of(data, found->length);
    int page = found->selector < 0 ? -1 : (int)value_of(&signals[found->selector], raw);
    for (int s = found->first; s < found->first + found->count; s++)
        if (signals[s].page < 0 || signals[s].page == page)
            values[s] = value_of(&signals[s], raw);
    application_received(now_ns, m, page);
}

static void receive(int64_t now_ns, const struct frame *frame)
{
    if (frame->flags & (EXTENDED | REMOTE))
        return;
    if (frame->id == UDS_REQUEST) {
        uds_heard(now_ns, frame->data, frame->length);
        return;
    }
    nm_heard(now_ns, frame);
    for (int m = 0; m < MESSAGES; m++)
        if (messages[m].id == frame->id && !messages[m].cycle_ms && messages[m].length == frame->length) {
            if (believed(m, frame->data)) {
                good_ns[m] = now_ns;
                unpack(now_ns, m, frame->data);
            }
            return;
        }
}

/* ---- out */

static void pack(int m, uint8_t *data)
{
    const struct message *found = &messages[m];
    uint64_t raw = 0;
    for (int s = found->first; s < found->first + found->count; s++) {
        const struct signal *one = &signals[s];
        uint64_t mask = ((uint64_t)1 << one->bits) - 1;
        int64_t number = (int64_t)floor((values[s] - one->offset) / one->scale + 0.5);
        raw |= ((uint64_t)number & mask) << one->start;
    }
    for (int n = 0; n < found->length; n++)
        data[n] = (uint8_t)(raw >> 8 * n);
    if (found->profile != NONE) {
        e2e_protect(found, data, counters[m]);
        counters[m] = (uint8_t)((counters[m] + SENT_COUNTER_STEP) % e2e_period(found));
    }
}

static void send_due(int64_t now_ns)
{
    for (int m = 0; m < MESSAGES; m++) {
        if (next_ns[m] > now_ns)
            continue;
        next_ns[m] += messages[m].cycle_ms * MS;
        if (muted || !(m == NM_MESSAGE ? nm_sends() : nm_may_send()))
            continue;
        struct frame frame = {.time_ns = now_ns, .id = messages[m].id, .length = messages[m].length};
        pack(m, frame.data);
        bus_send(&frame);
    }
}

/* ---- time */

int64_t core_due_ns(void)
{
    int64_t due_ns = tick_ns;
    for (int m = 0; m < MESSAGES; m++)
        if (next_ns[m] < due_ns)
            due_ns = next_ns[m];
    return isotp_due_ns() < due_ns ? isotp_due_ns() : due_ns;
}

static void tick(int64_t at_ns)
{
    size_t kept = 0;
    for (size_t n = 0; n < queued; n++) {
        if (queue[n].time_ns <= at_ns)
            receive(at_ns, &queue[n]);
        else
            queue[kept++] = queue[n];
    }
    queued = kept;
    application_main(at_ns);
    nm_main(at_ns, application_awake());
    if (nm_woken())
        next_ns[NM_MESSAGE] = at_ns;
    uds_main(at_ns);
    if (at_ns >= ready_ns) {
        console_say(at_ns, READY_LINE);
        ready_ns = NEVER;
    }
}

static void skip_a_stall(int64_t now_ns) /* after a long stall nothing is made up for */
{
    if (now_ns - tick_ns <= LONGEST_STALL_MS * MS)
        return;
    tick_ns = now_ns;
    for (int m = 0; m < MESSAGES; m++)
        if (next_ns[m] < now_ns)
            next_ns[m] = now_ns;
}

void core_step(int64_t now_ns, const struct frame *frames, size_t count)
{
    for (size_t n = 0; n < count && queued < QUEUE; n++)
        queue[queued++] = frames[n];
    skip_a_stall(now_ns);
    while (!frozen && core_due_ns() <= now_ns) {
        int64_t at_ns = core_due_ns();
        if (at_ns >= tick_ns) {
            tick(at_ns);
            tick_ns += TICK_MS * MS;
        }
        isotp_main(at_ns);
        send_due(at_ns);
    }
    if (frozen) {
        queued = 0;
        tick_ns = now_ns + 100 * MS;
        for (int m = 0; m < MESSAGES; m++)
            next_ns[m] = NEVER;
    }
}
