"""Every constant that the cockpit's behaviour hangs on; a defective build differs from the reference in one of them."""

TICK_MS = 5  # the main function's period

BOOT_STAGES = ((20, "boot: loader 2.1"), (60, "boot: kernel 6.1"), (110, "boot: services"))
READY_MS = 400
READY_LINE = "cockpit ready"
COM_START_MS = 150

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
TIMEOUT_MS = {"VehicleMotion": 200, "GearState": 200}
HEAL_MS = 0
ACCEPT_SHORT_FRAMES = False
ACCEPT_REMOTE_FRAMES = False
ACCEPT_OTHER_FORMAT = False  # CAN FD where the matrix says classic, and the other way round
MOST_FRAMES_PER_TICK = None  # more of them, and it sends nothing any more
BUS_OFF_RECOVERY_MS = 50
SILENT_WHEN_PASSIVE = False
MUTED = ("DisplayStatus",)
MUTE_ON_UNKNOWN_MS = 0  # how long these messages stay away after an unknown identifier

NM_TIMES = {}  # a time of the interface, in ms, where it differs
NM_SENDS_WHEN_READY = False
NM_IGNORES_OTHERS = False
NM_IGNORES_REPEAT_REQUEST = False
NM_WAKES_BY_ANY_FRAME = False
NM_DEAF_WHILE_PREPARING = False
NM_WAKES_AT_MOST = 1 << 30  # times
NM_WAKE_DELAY_MS = 0
NM_ACTIVE_WAKE_UP_BIT = True

PROGRAMMING_V = 11.0  # below it, it does not begin

SPEED_GAIN = 1.02
SPEED_OFFSET_KMH = 1.0
SPEED_MAX_KMH = 260.0
INVALID_SPEED_DELAY_MS = 0

TELLTALE_DELAY_MS = 0
LAMP_DELAY_MS = 0
GEAR_DELAY_MS = 0
REVERSE_SHOWN_AS = 1

REARVIEW_START_MS = 600
REARVIEW_DROPS_AFTER_MS = None
REARVIEW_FRAMES_PER_S = 25
REARVIEW_BOOT_EXTRA_MS = 0

COMMAND_DELAY_MS = 0
CONFIRM_DELAY_MS = 0
COMMAND_TIMEOUT_MS = 1000
COMMAND_GAP_MS = 50
COMMAND_REPEATS = 1
LOG_FRAMES = 1  # at once, every second
REVERT_ON_FAILURE = True
TEMPERATURE_STEP = 0.5
SEAT_COMMAND_DELAY_MS = 0
SEAT_STEP = 1

CHIME_DELAY_MS = 0
CHIME_LEVEL_IDLE = 0
BELT_HAS_PRIORITY = True

POWER_DELAY_MS = 0
SCREEN_ON_IN_OFF = False
SCREEN_ON_VALUE = 1

STOPPED_BY_EMPTY_FRAME = False
SILENCED_BY_OWN_ID = False
UDS = {}  # what the diagnostic server differs in: see common/diagnostics.py, services.py, transport.py

PANIC_AT_MS = None
REBOOT_AT_MS = None
