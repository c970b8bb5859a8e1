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
EXTRA_MESSAGE_ID = None
UNUSED_BITS = {}  # message -> ORed into its last byte

CHECK_CRC = True
CHECK_COUNTER = True
TIMEOUT_MS = {"VehicleMotion": 200, "GearState": 200}
HEAL_MS = 0
ACCEPT_SHORT_FRAMES = False
ACCEPT_REMOTE_FRAMES = False
MUTED = ("DisplayStatus",)
MUTE_ON_UNKNOWN_MS = 0  # how long these messages stay away after an unknown identifier

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

PANIC_AT_MS = None
REBOOT_AT_MS = None
