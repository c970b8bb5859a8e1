/* Forward collision: warns of and brakes for what is in the way, by an object list that comes one place a frame. */
#include "core.h"
#include "network.h"

enum { PLACES = 4, FIELDS = O2_EXIST - O1_EXIST };
enum { BOOT, READY, LIMITED };
enum { CONFIRMED = 3, JUMPS = 3, COAST_MS = 250, HOLD_MS = 500, STAND_MS = 1500, HEAL_MS = 100, OLD_MS = 150 };
static const double JUMP_M = 8.0, HALF_EGO_M = 0.95, SURE = 50, LEAST_KMH = 8, MOST_KMH = 100;

struct track {
    int frames, jumps;
    int64_t seen_ns;
    double ahead_m, side_m, along_mps, across_mps;
    bool car;
};
static struct track tracks[PLACES];
static int64_t warned_ns, stood_ns, degraded_ns;
static bool braking, complete, ignition_heard;
static double speed_mps, curvature_1pm;

void application_start(int64_t now_ns)
{
    for (int n = 0; n < PLACES; n++)
        tracks[n] = (struct track){0};
    warned_ns = stood_ns = 0;
    degraded_ns = now_ns;
    braking = complete = ignition_heard = false;
    put(FAS_STAT, BOOT);
}

bool application_awake(void)
{
    return !ignition_heard || get(KL_15) > 0;
}

static double ahead_m(const struct track *t, int64_t now_ns)
{
    return t->ahead_m + t->along_mps * (double)(now_ns - t->seen_ns) / 1e9;
}

static void accept(int64_t now_ns, int place)
{
    struct track *t = &tracks[place];
    int at = O1_EXIST + place * FIELDS;
    double distance = get(at + O1_DX - O1_EXIST);
    if (get(at) < 1 || get(at + O1_PROB - O1_EXIST) < SURE) {
        if (now_ns - t->seen_ns > COAST_MS * MS)
            t->frames = 0;
        return;
    }
    double off = distance - ahead_m(t, now_ns);
    if (t->frames && (off > JUMP_M || off < -JUMP_M)) {
        if (++t->jumps < JUMPS)
            return;
        t->frames = 0;
    }
    t->jumps = 0;
    t->frames++;
    t->seen_ns = now_ns;
    t->ahead_m = distance;
    t->side_m = get(at + O1_DY - O1_EXIST);
    t->along_mps = get(at + O1_VX - O1_EXIST);
    t->across_mps = get(at + O1_VY - O1_EXIST);
    int kind = (int)get(at + O1_CLS - O1_EXIST);
    t->car = kind == 0 || kind == 1;
}

void application_received(int64_t now_ns, int message, int page)
{
    if (message == OBJ_02 && page >= 0 && page < PLACES)
        accept(now_ns, page);
    ignition_heard |= message == DRV_02;
}

static bool believes(int64_t now_ns) /* that what it hears is fit to act on */
{
    bool gone = lost(VMM_02, now_ns) || lost(OBJ_02, now_ns);
    bool wrong = get(VMM_V_QF) < 1 || get(FUS_STAT) > 0 || get(FUS_AGE) > OLD_MS;
    complete |= !gone;
    if (gone || wrong)
        degraded_ns = now_ns;
    bool fit = now_ns - degraded_ns >= HEAL_MS * MS;
    put(FAS_STAT, fit ? READY : complete ? LIMITED : BOOT);
    put(FAS_LAMP, complete && !fit);
    return fit;
}

static bool in_the_way(const struct track *t, int64_t now_ns, double time_s)
{
    double age_s = (double)(now_ns - t->seen_ns) / 1e9, ahead = ahead_m(t, now_ns);
    double side = t->side_m + t->across_mps * age_s - curvature_1pm * ahead * ahead / 2;
    if (!t->car)
        side += t->across_mps * time_s;
    double reach = HALF_EGO_M + (t->car ? 0.9 : 0.35) + 0.15;
    return side < reach && side > -reach;
}

static double soonest_s(int64_t now_ns) /* the least time to collision with anything in the way */
{
    double least_s = 1e9;
    for (int n = 0; n < PLACES; n++) {
        const struct track *t = &tracks[n];
        if (t->frames < CONFIRMED || now_ns - t->seen_ns > COAST_MS * MS || t->along_mps > -0.5)
            continue;
        double ahead = ahead_m(t, now_ns), time_s = ahead / -t->along_mps;
        if (ahead > 0 && time_s < least_s && in_the_way(t, now_ns, time_s))
            least_s = time_s;
    }
    return least_s;
}

void application_main(int64_t now_ns)
{
    speed_mps = get(VMM_V) / 3.6;
    curvature_1pm = speed_mps > 3 ? get(VMM_YAW) / 57.29578 / speed_mps : 0;
    double time_s = believes(now_ns) ? soonest_s(now_ns) : 1e9, kmh = speed_mps * 3.6;
    if (time_s < FCW_TTC_S)
        warned_ns = now_ns;
    if (time_s < AEB_TTC_S && kmh >= LEAST_KMH && kmh <= MOST_KMH)
        braking = true;
    else if (speed_mps > 0.3 && time_s > 4)
        braking = false;
    if (braking && speed_mps < 0.1) {
        stood_ns = stood_ns ? stood_ns : now_ns;
        braking = now_ns - stood_ns < STAND_MS * MS;
    } else {
        stood_ns = 0;
    }
    bool warning = warned_ns && now_ns - warned_ns < HOLD_MS * MS;
    put(ANB_ACT, braking);
    put(ANB_DEC, braking ? AEB_DECEL_MPS2 : 0);
    put(KW_OPT, warning);
    put(KW_AK, warning);
    put(KW_HAP, 0);
    put(FAS_UPTIME, (double)((now_ns - core_started_ns()) / (1000 * MS)));
}
