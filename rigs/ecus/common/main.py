"""Start an ECU's application: behind the stepper in simulated time; in real time on a kernel's bus or on the hub."""

import json
import os
import pkgutil

from common.com import Com


def main(application, calibration):
    core = Com(json.loads(pkgutil.get_data("common", "network.json")), calibration, application)
    if os.environ.get("SHIPEI_STEPPER"):
        from common.stepper import run
    else:
        if os.environ.get("SHIPEI_CAN"):
            from common.socketcan import run
        else:
            from common.hub import run
        flash = os.environ.get("BOARD_FLASH")  # on a board with a boot loader
        core.board = (lambda: ask_for_programming(flash)) if flash else None
    run(core)


def ask_for_programming(flash):
    """The word that the boot loader finds after the reset."""
    with open(os.path.join(flash, "programming"), "w") as word:
        word.write("1")
