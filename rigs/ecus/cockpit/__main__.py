"""Start the cockpit: behind the stepper in simulated time, on the hub in real time."""

from cockpit import calibration
from cockpit.core import Cockpit
from common import main

main.main(Cockpit(), calibration)
