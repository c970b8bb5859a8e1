"""Every constant that driving assistance hangs on; a defective build differs from the reference in one of them."""

TICK_MS = 10  # the main function's period

BOOT_STAGES = ((15, "boot: loader 3.0"), (45, "boot: kernel 6.1"), (90, "boot: perception interface"))
READY_MS = 300
READY_LINE = "driving assistance ready"
COM_START_MS = 120

CYCLE_MS = {}  # message -> period where it differs from the matrix
JITTER_MS = {}  # message -> how late every second frame of it is
NEVER_SENT = ()
SENT_CRC_XOR = 0
SENT_COUNTER_STEP = 1
SENT_LENGTH = {}  # message -> length where it differs from the matrix
SENT_FLAGS_XOR = {}  # message -> flags of its frames (2 extended, 4 FD, 8 bit rate switch) that differ from the matrix
PAGES_NEVER_SENT = ()  # of multiplexed messages
PAGES_BESIDES = ()
EXTRA_MESSAGE_ID = None
UNUSED_BITS = {}  # message -> ORed into its last byte

CHECK_CRC = True
CHECK_COUNTER = True
MOST_COUNTER_STEP = 2  # MaxDeltaCounter
ACCEPTED_DATA_IDS_OF = ()  # other messages whose data ids are believed too
TIMEOUT_MS = {"EgoMotion": 100, "ObjectList": 130, "LaneModel": 130}
HEAL_MS = 100
ACCEPT_SHORT_FRAMES = False
ACCEPT_REMOTE_FRAMES = False
ACCEPT_OTHER_FORMAT = False  # CAN FD where the matrix says classic, and the other way round
MOST_FRAMES_PER_TICK = None  # more of them, and it sends nothing any more
BUS_OFF_RECOVERY_MS = 50
SILENT_WHEN_PASSIVE = False
MUTED = ("AssistState",)
MUTE_ON_UNKNOWN_MS = 0  # how long these messages stay away after an unknown identifier

SPEED_INVALID_AFTER_MS = 0  # how long the speed must be marked invalid to be disbelieved
BLIND_AFTER_MS = 0
MOST_LATENCY_MS = 150
LAMP_IN_DEGRADED = 1
LAMP_DELAY_MS = 0
ACT_WHILE_DEGRADED = False

CONFIRM_FRAMES = 3  # an object counts once it was there in so many frames
COAST_S = 0.15  # and for so long after it was last there
LEAST_CONFIDENCE = 50
MOST_JUMP_M = 8.0  # from one frame to the next, beyond its speed
JUMPS_UNTIL_NEW = 4  # after so many it is another object
MARGIN_M = {"car": 0.15, "pedestrian": 0.15, "bicycle": 0.15, "motorcycle": 0.15}  # beside the ego vehicle's width
PATH_FACTOR = 1.0  # how much of the yaw rate goes into the own path that it foresees

AEB_CAR_TTC_S = 1.12
AEB_MOVING_CAR_TTC_S = 1.12
AEB_PEDESTRIAN_TTC_S = 1.12
AEB_TWO_WHEELER_TTC_S = 1.12
AEB_DECEL_MPS2 = 9.0
AEB_MIN_KMH = 8.0
AEB_MAX_KMH = 100.0
FCW_TTC_S = 2.9
FCW_SLOW_CAR_TTC_S = 2.9
FCW_STANDING_CAR_TTC_S = 2.9
FCW_IN_TOWN_TTC_S = 2.9  # of any car, below FCW_TOWN_KMH
FCW_VRU_TTC_S = 2.9
FCW_SLOW_CAR_MPS = 10.5
FCW_TOWN_KMH = 55.0
FCW_MODES = ("Optical", "Acoustic", "Haptic")
FCW_HOLD_S = 0.5

ACC_GAP_S = 1.5
ACC_STANDSTILL_M = 4.0
ACC_GAP_GAIN = 0.20
ACC_SPEED_GAIN = 0.7
ACC_DECEL_MPS2 = (4.8, 3.4)  # at 5 m/s and below, at 20 m/s and above
ACC_ACCEL_MPS2 = (2.0, 1.5)
ACC_STOP_MPS2 = 0.8
ACC_JERK_MPS3 = 2.4
ACC_CORRIDOR_M = 1.5
ACC_PATH_FACTOR = 1.0  # how much of the own path's curvature it follows others along
ACC_CUT_IN_GAP_S = 1.5  # to those who came into the corridor from the side

LDW_MIN_KMH = 60.0
LDW_LINE_S = 0.3  # warn so long before the wheel reaches the line
LDW_LINE_M = 0.05
LDW_INDICATOR_AFTER_S = 0.0  # how long the indicator must be on to count

LKA_MIN_KMH = 60.0
LKA_LINE_M = 0.35
LKA_RATE_S = 1.0
LKA_GAINS = (0.10, 0.9)  # of the lateral position, of the heading
LKA_ALAT_MPS2 = 2.2
LKA_JERK_MPS3 = 4.0
LKA_RELEASE_M = 0.12
LKA_INDICATOR_AFTER_S = 0.0

BSD_SIDE_M = (0.3, 3.2)
BSD_REAR_M = 3.5
BSD_DELAY_MS = 0
BSD_OVERTAKEN_DELAY_MS = 0  # for those who fall behind
BSD_MIN_KMH = 20.0

STOPPED_BY_EMPTY_FRAME = False
SILENCED_BY_OWN_ID = False
UDS = {}  # what the diagnostic server differs in: see common/diagnostics.py, services.py, transport.py

PANIC_AT_MS = None
REBOOT_AT_MS = None
