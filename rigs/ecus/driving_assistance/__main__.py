"""Start driving assistance: behind the stepper in simulated time, on the hub in real time."""

from common import main
from driving_assistance import calibration
from driving_assistance.core import DrivingAssistance

main.main(DrivingAssistance(), calibration)
