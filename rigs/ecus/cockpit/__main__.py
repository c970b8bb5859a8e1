"""Start the cockpit: behind the stepper in simulated time, on the hub in real time."""

import json
import os
import pkgutil

from cockpit.core import Cockpit


def main():
    core = Cockpit(json.loads(pkgutil.get_data("cockpit", "network.json")))
    if os.environ.get("SHIPEI_STEPPER"):
        from cockpit.stepper import run
    else:
        from cockpit.hub import run
    run(core)


main()
