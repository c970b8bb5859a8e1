"""A bench on a desk that is not there: an ECU board with a boot loader, a serial-line CAN adapter, a console, a SCPI supply.

Everything that a rig file of hardware names exists as on a real desk: a serial device that speaks SLCAN, a serial console, an
instrument on TCP. Each can be unplugged, lied with and broken, by a line of JSON on the desk's control socket (rigs.desk.desk).
Runs by itself: python -m shipei.desk FOLDER
"""
