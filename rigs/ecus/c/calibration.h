/* Every constant that a defective build differs in; -DNAME=VALUE replaces one. */
#ifndef CALIBRATION_H
#define CALIBRATION_H

#ifndef COM_START_MS
#define COM_START_MS 20
#endif
#ifndef READY_MS
#define READY_MS 200
#endif
#ifndef CLOCK_PPM /* how much the device's clock is fast */
#define CLOCK_PPM 0
#endif
#ifndef WATCHDOG_S /* after which the watchdog bites */
#define WATCHDOG_S 4
#endif
#ifndef WATCHDOG_FED_WHILE_FROZEN
#define WATCHDOG_FED_WHILE_FROZEN 0
#endif
#ifndef CHECK_CRC
#define CHECK_CRC 1
#endif
#ifndef CHECK_COUNTER
#define CHECK_COUNTER 1
#endif
#ifndef SENT_COUNTER_STEP
#define SENT_COUNTER_STEP 1
#endif
#ifndef SPEED_GAIN
#define SPEED_GAIN 1.03
#endif
#ifndef SPEED_OFFSET_KMH
#define SPEED_OFFSET_KMH 1.5
#endif
#ifndef TELLTALE_DELAY_MS
#define TELLTALE_DELAY_MS 0
#endif
#ifndef AEB_TTC_S
#define AEB_TTC_S 1.25
#endif
#ifndef AEB_DECEL_MPS2
#define AEB_DECEL_MPS2 8.5
#endif
#ifndef FCW_TTC_S
#define FCW_TTC_S 3.0
#endif

#endif
