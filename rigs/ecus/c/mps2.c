/* The main without an operating system: Arm MPS2 (AN385, Cortex-M3). Console on UART0, CAN as SLCAN on UART1, the CMSDK watchdog. */
#include <string.h>

#include "clock.h"
#include "core.h"
#include "network.h"

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
enum { UART0 = 0x40004000, UART1 = 0x40005000, DATA = 0, STATE = 4, CONTROL = 8, INTERRUPTS = 12, DIVIDER = 16 };
enum { FULL = 1, SEND = 1, RECEIVE = 2, RECEIVE_INTERRUPT = 8, RECEIVED = 2 };
enum { WATCHDOG = 0x40008000, WATCHDOG_LOAD = 0, WATCHDOG_CONTROL = 8, WATCHDOG_CLEAR = 12, WATCHDOG_LOCK = 0xC00 };
enum { TIMER = 0x40000000, TIMER_CONTROL = 0, TIMER_VALUE = 4, TIMER_RELOAD = 8 };
enum { CLOCK_HZ = 25000000, TICKS = CLOCK_HZ / 1000, UART1_RECEIVE_IRQ = 2, RING = 4096, LONGEST_LINE = 32 };
#define SYSTICK_CONTROL REG(0xE000E010)
#define SYSTICK_RELOAD REG(0xE000E014)
#define SYSTICK_VALUE REG(0xE000E018)
#define INTERRUPT_ENABLE REG(0xE000E100)
#define RESET_CONTROL REG(0xE000ED0C)

static volatile uint32_t head;
static volatile uint8_t ring[RING];
static uint32_t tail;

void on_systick(void) {} /* wakes the loop; time comes from a timer that nobody has to serve */

void on_uart1(void)
{
    REG(UART1 + INTERRUPTS) = RECEIVED;
    while (REG(UART1 + STATE) & 2) {
        ring[head % RING] = (uint8_t)REG(UART1 + DATA);
        head++;
    }
}

/* No memory of this board outlives a reset. */
int64_t kept(void)
{
    return 0;
}

void keep(int64_t number)
{
    (void)number;
}

static int64_t now(void)
{
    static uint32_t last = UINT32_MAX; /* it counts down and around, every 171 s; it is read far more often */
    static int64_t ticks;
    uint32_t value = REG(TIMER + TIMER_VALUE);
    ticks += last - value;
    last = value;
    return ticks * (1000000000 / CLOCK_HZ);
}

static void write_to(uint32_t uart, const char *bytes, size_t length)
{
    for (size_t n = 0; n < length; n++) {
        while (REG(uart + STATE) & FULL) {
        }
        REG(uart + DATA) = (uint8_t)bytes[n];
    }
}

static void say(int64_t time_ns, const char *text)
{
    (void)time_ns;
    write_to(UART0, text, strlen(text));
    write_to(UART0, "\r\n", 2);
}

static void send(const struct frame *frame) /* tIIILDD..\r */
{
    static const char digit[] = "0123456789ABCDEF";
    char line[LONGEST_LINE] = {'t', digit[frame->id >> 8 & 7], digit[frame->id >> 4 & 15], digit[frame->id & 15], digit[frame->length]};
    size_t size = 5;
    for (int n = 0; n < frame->length; n++) {
        line[size++] = digit[frame->data[n] >> 4];
        line[size++] = digit[frame->data[n] & 15];
    }
    line[size++] = '\r';
    write_to(UART1, line, size);
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool number(const char *from, int digits, uint32_t *to)
{
    *to = 0;
    for (int n = 0; n < digits; n++) {
        if (hex(from[n]) < 0)
            return false;
        *to = *to << 4 | (uint32_t)hex(from[n]);
    }
    return true;
}

static bool parsed(const char *line, size_t size, struct frame *frame)
{
    int digits = line[0] == 't' || line[0] == 'r' ? 3 : line[0] == 'T' || line[0] == 'R' ? 8 : 0;
    uint32_t length, byte;
    *frame = (struct frame){.time_ns = device_ns(now()), .flags = (digits == 8 ? EXTENDED : 0) | ((line[0] | 32) == 'r' ? REMOTE : 0)};
    if (!digits || size < (size_t)digits + 2 || !number(line + 1, digits, &frame->id) || !number(line + 1 + digits, 1, &length) || length > 8)
        return false;
    frame->length = (uint8_t)length;
    if (frame->flags & REMOTE)
        return true;
    for (uint32_t n = 0; n < length; n++) {
        if (size < digits + 4 + 2 * n || !number(line + digits + 2 + 2 * n, 2, &byte))
            return false;
        frame->data[n] = (uint8_t)byte;
    }
    return true;
}

static size_t receive(struct frame *frames, size_t most)
{
    static char line[LONGEST_LINE];
    static size_t size;
    size_t count = 0;
    while (tail != head && count < most) {
        char c = (char)ring[tail++ % RING];
        if (c != '\r') {
            if (size < LONGEST_LINE)
                line[size++] = c;
        } else {
            if (size && size < LONGEST_LINE && parsed(line, size, &frames[count]))
                count++;
            size = 0;
        }
    }
    return count;
}

static void feed(void)
{
    if (core_frozen() && !WATCHDOG_FED_WHILE_FROZEN)
        return;
    REG(WATCHDOG + WATCHDOG_CLEAR) = 1;
}

static void set_up(void)
{
    REG(UART0 + DIVIDER) = REG(UART1 + DIVIDER) = 16;
    REG(UART0 + CONTROL) = SEND | RECEIVE;
    REG(UART1 + CONTROL) = SEND | RECEIVE | RECEIVE_INTERRUPT;
    INTERRUPT_ENABLE = 1u << UART1_RECEIVE_IRQ;
    REG(TIMER + TIMER_RELOAD) = UINT32_MAX;
    REG(TIMER + TIMER_VALUE) = UINT32_MAX;
    REG(TIMER + TIMER_CONTROL) = 1;
    SYSTICK_RELOAD = TICKS - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7;
    REG(WATCHDOG + WATCHDOG_LOCK) = 0x1ACCE551;
    REG(WATCHDOG + WATCHDOG_LOAD) = (uint32_t)WATCHDOG_S * (CLOCK_HZ / 2); /* it bites at the second time it runs out */
    REG(WATCHDOG + WATCHDOG_CONTROL) = 3;
}

int main(void)
{
    static struct frame frames[32];
    core_connect((struct outlets){send, say});
    set_up();
    say(0, "BL: mps2 boot block 1.0");
    core_start(device_ns(now()));
    while (!core_leaves()) {
        __asm__ volatile("cpsid i");
        if (tail == head && real_ns(core_due_ns()) > now())
            __asm__ volatile("wfi");
        __asm__ volatile("cpsie i");
        size_t count = receive(frames, sizeof frames / sizeof *frames);
        core_step(device_ns(now()), frames, count);
        feed();
    }
    RESET_CONTROL = 0x05FA0004;
    for (;;) {
    }
}

/* ---- start */

extern uint32_t data_from[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];

void on_reset(void)
{
    for (uint32_t *to = data_start, *from = data_from; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    main();
}

static void on_fault(void)
{
    say(0, "FATAL EXCEPTION: hard fault");
    for (;;) {
    }
}

static void on_nothing(void) {}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))stack_top, on_reset, on_nothing, on_fault, on_fault, on_fault, on_fault, 0, 0, 0, 0, on_nothing,
    on_nothing, 0, on_nothing, on_systick, on_nothing, on_nothing, on_uart1, on_nothing,
};
