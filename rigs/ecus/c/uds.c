/* ISO 14229-1 on the device's side: sessions, reset, identification, security, tester present. */
#include <string.h>

#include "core.h"
#include "network.h"

enum { DEFAULT = 1, PROGRAMMING, EXTENDED_SESSION };
enum { S3_MS = 5000, P2_MS = 50, P2_STAR_MS = 5000, TRIES = 3, LOCKED_MS = 10000 };
enum { FREEZE = 0x60 }; /* a reset type of the vendor's: hang, so that the watchdog can be seen to bite (ISO 14229-1, table 34) */
enum {
    NOT_SUPPORTED = 0x11, NO_SUBFUNCTION = 0x12, LENGTH = 0x13, CONDITIONS = 0x22, SEQUENCE = 0x24, RANGE = 0x31,
    WRONG_KEY = 0x35, TOO_MANY = 0x36, TOO_SOON = 0x37, NOT_IN_SESSION = 0x7F
};

static uint8_t session, answer[ISOTP_MOST], tries;
static uint32_t seed, noise;
static bool unlocked, given;
static int64_t heard_ns, locked_ns;
static int after; /* what to do once the answer is out */

void uds_start(int64_t now_ns)
{
    session = DEFAULT;
    unlocked = given = false;
    after = 0;
    heard_ns = now_ns;
    locked_ns = kept();
    noise ^= (uint32_t)now_ns | 1;
    isotp_start();
}

static uint32_t mixed(uint32_t x) /* a finaliser of the xor-multiply kind; the secret is the reference's and no secret */
{
    x ^= UDS_SECRET;
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

static size_t refuse(uint8_t service, uint8_t code)
{
    answer[0] = 0x7F;
    answer[1] = service;
    answer[2] = code;
    return 3;
}

static size_t change_session(const uint8_t *request)
{
    uint8_t type = request[1] & 0x7F;
    if (type < DEFAULT || type > EXTENDED_SESSION)
        return refuse(0x10, NO_SUBFUNCTION);
    if (type == PROGRAMMING)
        return refuse(0x10, CONDITIONS); /* there is no boot loader to go to */
    session = type;
    unlocked = given = false;
    const uint8_t positive[] = {0x50, type, P2_MS >> 8, P2_MS & 255, P2_STAR_MS / 10 >> 8, P2_STAR_MS / 10 & 255};
    memcpy(answer, positive, sizeof positive);
    return sizeof positive;
}

static size_t reset(const uint8_t *request)
{
    uint8_t type = request[1] & 0x7F;
    if (type != 1 && type != 3 && type != FREEZE)
        return refuse(0x11, NO_SUBFUNCTION);
    if (type == FREEZE && session != EXTENDED_SESSION)
        return refuse(0x11, NOT_IN_SESSION);
    after = type == FREEZE ? 2 : 1;
    answer[0] = 0x51;
    answer[1] = type;
    return 2;
}

static size_t read_data(const uint8_t *request, size_t length)
{
    size_t size = 1;
    if (length < 3 || length % 2 == 0)
        return refuse(0x22, LENGTH);
    for (size_t at = 1; at < length; at += 2) {
        unsigned did = (unsigned)request[at] << 8 | request[at + 1];
        const char *text = did == 0xF189 ? VERSION : did == 0xF18C ? SERIAL : NULL;
        size_t room = sizeof answer - size;
        if (did == 0xF186 && room >= 3) {
            memcpy(answer + size, request + at, 2);
            answer[size + 2] = session;
            size += 3;
        } else if (text && room >= 2 + strlen(text)) {
            memcpy(answer + size, request + at, 2);
            memcpy(answer + size + 2, text, strlen(text));
            size += 2 + strlen(text);
        }
    }
    answer[0] = 0x62;
    return size > 1 ? size : refuse(0x22, RANGE);
}

static size_t give_seed(int64_t now_ns)
{
    if (locked_ns && now_ns < locked_ns)
        return refuse(0x27, TOO_SOON);
    seed = unlocked ? 0 : (noise = mixed(noise + (uint32_t)now_ns)) | 1;
    given = !unlocked;
    const uint8_t positive[] = {0x67, 1, (uint8_t)(seed >> 24), (uint8_t)(seed >> 16), (uint8_t)(seed >> 8), (uint8_t)seed};
    memcpy(answer, positive, sizeof positive);
    return sizeof positive;
}

static size_t take_key(int64_t now_ns, const uint8_t *request)
{
    if (!given)
        return refuse(0x27, SEQUENCE);
    uint32_t key = (uint32_t)request[2] << 24 | (uint32_t)request[3] << 16 | (uint32_t)request[4] << 8 | request[5];
    given = false;
    if (key == mixed(seed)) {
        unlocked = true;
        tries = 0;
        answer[0] = 0x67;
        answer[1] = 2;
        return 2;
    }
    if (++tries < TRIES)
        return refuse(0x27, WRONG_KEY);
    tries = 0;
    locked_ns = now_ns + LOCKED_MS * MS;
    keep(locked_ns);
    return refuse(0x27, TOO_MANY);
}

static size_t security(int64_t now_ns, const uint8_t *request, size_t length)
{
    if (session == DEFAULT)
        return refuse(0x27, NOT_IN_SESSION);
    if (length < 2 || (request[1] == 1 && length != 2) || (request[1] == 2 && length != 6))
        return refuse(0x27, LENGTH);
    if (request[1] == 1)
        return give_seed(now_ns);
    return request[1] == 2 ? take_key(now_ns, request) : refuse(0x27, NO_SUBFUNCTION);
}

static size_t decide(int64_t now_ns, const uint8_t *request, size_t length)
{
    switch (request[0]) {
    case 0x10:
        return length == 2 ? change_session(request) : refuse(0x10, LENGTH);
    case 0x11:
        return length == 2 ? reset(request) : refuse(0x11, LENGTH);
    case 0x22:
        return read_data(request, length);
    case 0x27:
        return security(now_ns, request, length);
    case 0x3E:
        if (length != 2)
            return refuse(0x3E, LENGTH);
        if (request[1] & 0x7F)
            return refuse(0x3E, NO_SUBFUNCTION);
        answer[0] = 0x7E;
        answer[1] = 0;
        return 2;
    default:
        return refuse(request[0], NOT_SUPPORTED);
    }
}

void uds_heard(int64_t now_ns, const uint8_t *data, size_t length)
{
    uint8_t request[ISOTP_MOST];
    size_t whole = isotp_receive(now_ns, data, length, request);
    if (!whole)
        return;
    heard_ns = now_ns;
    size_t size = decide(now_ns, request, whole);
    bool has_subfunction = request[0] == 0x10 || request[0] == 0x11 || request[0] == 0x3E;
    if (has_subfunction && whole > 1 && request[1] & 0x80 && answer[0] != 0x7F)
        return; /* suppressPosRspMsgIndicationBit */
    isotp_send(now_ns, answer, size);
}

void uds_main(int64_t now_ns)
{
    if (session != DEFAULT && now_ns - heard_ns > S3_MS * MS) {
        session = DEFAULT;
        unlocked = given = false;
    }
    if (after && !isotp_busy()) {
        if (after == 2)
            core_freeze();
        else
            core_leave(LEAVES_RESET);
        after = 0;
    }
}
