/* An instrument cluster: shows speed and telltales. */
#include "core.h"
#include "network.h"

enum { OK, FAULT, STARTING };
enum { DARK, LIT, BLINK, NONSENSE };

struct lamp {
    int asked, shown; /* signals in, out */
    int target, delay_ms;
    int64_t since_ns;
};
static struct lamp lamps[] = {
    {BRK_REQ, L_BRK, 0, TELLTALE_DELAY_MS, 0}, {ABS_REQ, L_ABS, 0, TELLTALE_DELAY_MS, 0},
    {SRS_REQ, L_SRS, 0, TELLTALE_DELAY_MS, 0}, {ENG_REQ, L_ENG, 0, TELLTALE_DELAY_MS, 0},
    {HB_ON, L_HB, 0, 0, 0}, {IND_L, L_INDL, 0, 0, 0}, {IND_R, L_INDR, 0, 0, 0},
};
enum { LAMPS = sizeof lamps / sizeof *lamps };
static bool lights_heard;

void application_start(int64_t now_ns)
{
    for (int n = 0; n < LAMPS; n++) {
        lamps[n].target = 0;
        lamps[n].since_ns = now_ns;
    }
    lights_heard = false;
    put(SPD_STAT, STARTING);
}

void application_received(int64_t now_ns, int message, int page)
{
    (void)now_ns, (void)page;
    lights_heard |= message == BCM_LIGHTS;
}

bool application_awake(void)
{
    return !lights_heard || get(KL_15) > 0; /* until the ignition has been heard of */
}

static void show_speed(int64_t now_ns)
{
    bool fault = lost(ESP_30, now_ns) || get(V_VEH_OK) < 1;
    double true_kmh = get(V_VEH), shown_kmh = true_kmh > 0 ? true_kmh * SPEED_GAIN + SPEED_OFFSET_KMH : 0;
    put(SPD_STAT, fault ? FAULT : OK);
    put(SPD_DISP, fault ? 0 : shown_kmh > 300 ? 300 : shown_kmh);
}

static void show_lamps(int64_t now_ns)
{
    for (int n = 0; n < LAMPS; n++) {
        struct lamp *lamp = &lamps[n];
        int asked = (int)get(lamp->asked), wanted = asked == NONSENSE ? LIT : asked;
        if (asked && (lamp->shown == L_INDL || lamp->shown == L_INDR))
            wanted = BLINK;
        if (wanted != lamp->target) {
            lamp->target = wanted;
            lamp->since_ns = now_ns;
        }
        if (now_ns - lamp->since_ns >= lamp->delay_ms * MS)
            put(lamp->shown, lamp->target);
    }
}

void application_main(int64_t now_ns)
{
    show_speed(now_ns);
    show_lamps(now_ns);
    put(IC_UPTIME, (double)((now_ns - core_started_ns()) / (1000 * MS)));
}
