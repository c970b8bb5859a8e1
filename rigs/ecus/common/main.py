"""Start an ECU's application: behind the stepper in simulated time, on the hub in real time."""

import json
import os
import pkgutil

from common.com import Com


def main(application, calibration):
    core = Com(json.loads(pkgutil.get_data("common", "network.json")), calibration, application)
    if os.environ.get("SHIPEI_STEPPER"):
        from common.stepper import run
    else:
        from common.hub import run
    run(core)
