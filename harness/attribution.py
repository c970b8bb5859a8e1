"""Whose fault an exception is, and why, in words; of several at once, the worst for whoever must act."""

from harness.errors import DeviceError, Fault, RigError
from harness.vehicle.vehicle import Vehicle

MOST_CHARACTERS = 2000


def leaves(error: BaseException) -> list[BaseException]:
    """The exceptions that a group is made of; or the one itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def whose(error: BaseException, vehicle: Vehicle | None) -> str:
    """A bench that failed explains the rest; a skip, like anything unexpected, is the suite's author's."""
    found = leaves(error)
    if any(isinstance(e, RigError) for e in found):
        return "rig"
    if all(isinstance(e, DeviceError) for e in found):
        return "silence" if vehicle is not None and vehicle.heard_nothing() else "device"
    return "suite"


def why(error: BaseException) -> str:
    """Each message once; of what is none of our faults with its kind.

    >>> why(ExceptionGroup("teardown", [RigError("the adapter is gone"), RigError("the adapter is gone"), KeyError("x")]))
    "the adapter is gone; KeyError: 'x'"
    """
    said = [str(e) if isinstance(e, Fault) else f"{type(e).__name__}: {e}" for e in leaves(error)]
    return "; ".join(dict.fromkeys(said))[:MOST_CHARACTERS]
