/* Network management: AUTOSAR CanNm's states and timers (SWS_CANNetworkManagement 7.4), one network, no gateway. */
#include "core.h"
#include "network.h"

enum { REPEAT_MS = 1500, TIMEOUT_MS = 2000, WAIT_BUS_SLEEP_MS = 1500 };
enum { REPEAT_REQUEST = 1 }; /* bit of the control bit vector */
enum state { BUS_SLEEP, PREPARE_BUS_SLEEP, REPEAT_MESSAGE, NORMAL, READY_SLEEP };

static enum state state;
static int64_t since_ns, heard_ns;
static bool woken;

static void enter(enum state next, int64_t now_ns)
{
    state = next;
    since_ns = now_ns;
    if (next == REPEAT_MESSAGE) {
        heard_ns = now_ns;
        woken = true;
    }
}

void nm_start(int64_t now_ns)
{
    put(NM_SOURCE, NODE);
    put(NM_ACTIVE_WAKE, 1);
    enter(REPEAT_MESSAGE, now_ns);
    woken = false; /* the first message goes out with the others */
}

/* Whether its message is to go out at once, asked once. */
bool nm_woken(void)
{
    bool found = woken;
    woken = false;
    return found;
}

bool nm_may_send(void)
{
    return state >= REPEAT_MESSAGE;
}

void nm_heard(int64_t now_ns, const struct frame *frame)
{
    if (frame->id < NM_FIRST || frame->id > NM_LAST)
        return;
    heard_ns = now_ns;
    if (state == BUS_SLEEP || state == PREPARE_BUS_SLEEP) {
        put(NM_ACTIVE_WAKE, 0);
        enter(REPEAT_MESSAGE, now_ns);
    } else if (state != REPEAT_MESSAGE && frame->length > 1 && frame->data[1] & REPEAT_REQUEST) {
        enter(REPEAT_MESSAGE, now_ns);
    }
}

void nm_main(int64_t now_ns, bool requested)
{
    int64_t in_state_ns = now_ns - since_ns;
    if (state == REPEAT_MESSAGE || state == NORMAL)
        heard_ns = now_ns; /* its own messages keep the network awake */
    switch (state) {
    case REPEAT_MESSAGE:
        if (in_state_ns >= REPEAT_MS * MS)
            enter(requested ? NORMAL : READY_SLEEP, now_ns);
        break;
    case NORMAL:
        if (!requested)
            enter(READY_SLEEP, now_ns);
        break;
    case READY_SLEEP:
        if (requested)
            enter(NORMAL, now_ns);
        else if (now_ns - heard_ns >= TIMEOUT_MS * MS)
            enter(PREPARE_BUS_SLEEP, now_ns);
        break;
    default: /* asleep, or about to be */
        if (requested) {
            put(NM_ACTIVE_WAKE, 1);
            enter(REPEAT_MESSAGE, now_ns);
        } else if (state == PREPARE_BUS_SLEEP && in_state_ns >= WAIT_BUS_SLEEP_MS * MS) {
            enter(BUS_SLEEP, now_ns);
        }
    }
}

/* The NM message itself goes out in the states that keep the network awake. */
bool nm_sends(void)
{
    return state == REPEAT_MESSAGE || state == NORMAL;
}
