/* A reference ECU of vendor reference-b: a core without a clock and without a bus. Frames and time come in; frames and console text go out. */
#ifndef CORE_H
#define CORE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "calibration.h"

#define MS ((int64_t)1000000)
#define NEVER INT64_MAX
enum { EXTENDED = 2, REMOTE = 32 }; /* flags of a frame */

struct frame {
    int64_t time_ns;
    uint32_t id;
    uint16_t flags;
    uint8_t length;
    uint8_t data[8];
};

/* What a main gives the core: where frames and console lines go. */
struct outlets {
    void (*send)(const struct frame *frame);
    void (*say)(int64_t time_ns, const char *text);
};
void core_connect(struct outlets to);
void bus_send(const struct frame *frame);
void console_say(int64_t time_ns, const char *text);

/* ---- the layout, written by the build from the DBC (network.h) */

struct signal {
    uint8_t start, bits;
    bool is_signed;
    int8_t page; /* -1: on every page */
    double scale, offset;
};

enum profile { NONE, P01, P05 };

struct message {
    uint32_t id;
    uint8_t length;
    uint16_t cycle_ms; /* 0: received */
    enum profile profile;
    uint16_t data_id;
    uint16_t timeout_ms; /* of a received message; 0: not supervised */
    int16_t first, count; /* its signals */
    int16_t selector;     /* the signal that says which page it is; -1: none */
};

/* ---- com.c */

enum { LEAVES_NOT, LEAVES_RESET };

void core_start(int64_t now_ns);
void core_step(int64_t now_ns, const struct frame *frames, size_t count);
int64_t core_due_ns(void);
int core_leaves(void);
void core_leave(int what);
bool core_frozen(void); /* it hangs on purpose: whoever watches it must not be fed */
void core_freeze(void);
int64_t core_started_ns(void);

double get(int signal);
bool lost(int message, int64_t now_ns);
void put(int signal, double value);
void mute(bool quiet); /* application messages stay away */

/* ---- e2e.c */

bool e2e_holds(const struct message *message, const uint8_t *data);
void e2e_protect(const struct message *message, uint8_t *data, uint8_t counter);
uint8_t e2e_counter(const struct message *message, const uint8_t *data);
unsigned e2e_period(const struct message *message);

/* ---- nm.c: AUTOSAR CanNm, one network */

void nm_start(int64_t now_ns);
void nm_main(int64_t now_ns, bool requested);
void nm_heard(int64_t now_ns, const struct frame *frame);
bool nm_may_send(void); /* application messages */
bool nm_sends(void);    /* its own message */
bool nm_woken(void);    /* that goes out at once */

/* ---- isotp.c: ISO 15765-2, normal addressing, classic frames */

void isotp_start(void);
size_t isotp_receive(int64_t now_ns, const uint8_t *data, size_t length, uint8_t *request); /* length of a whole request, or 0 */
void isotp_send(int64_t now_ns, const uint8_t *data, size_t length);
void isotp_main(int64_t now_ns);
int64_t isotp_due_ns(void);
bool isotp_busy(void);
enum { ISOTP_MOST = 256 };

/* ---- uds.c: ISO 14229-1, services 10 11 22 27 3E */

void uds_start(int64_t now_ns);
void uds_main(int64_t now_ns);
void uds_heard(int64_t now_ns, const uint8_t *data, size_t length);

/* ---- keep.c on Linux, mps2.c without: what outlives a reset */

int64_t kept(void);
void keep(int64_t number);

/* ---- cluster.c or assist.c */

void application_start(int64_t now_ns);
void application_main(int64_t now_ns);
void application_received(int64_t now_ns, int message, int page);
bool application_awake(void); /* it wants the network */

#endif
