"""The messages of labgrid's coordinator that a reservation needs, as protobuf classes made from their field numbers.

labgrid itself stays out of this environment: its own fork of pyserial owns the module `serial`.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

TEXT, NUMBER, WHOLE, FLAG, PARCEL = 9, 1, 5, 8, 11  # string, double, int32, bool, message
LONG = 4  # uint64
ONE, MANY = 1, 3
MESSAGES: dict[str, dict[str, tuple[int, int, int, str]]] = {  # field: number, type, label, type's name
    "Sync": {"id": (1, LONG, ONE, "")},
    "StartupDone": {"version": (1, TEXT, ONE, ""), "name": (2, TEXT, ONE, "")},
    "Subscribe": {"all_places": (2, FLAG, ONE, "")},
    "ClientInMessage": {
        "sync": (1, PARCEL, ONE, "Sync"),
        "startup": (2, PARCEL, ONE, "StartupDone"),
        "subscribe": (3, PARCEL, ONE, "Subscribe"),
    },
    "Place": {"name": (1, TEXT, ONE, ""), "acquired": (6, TEXT, ONE, "")},
    "UpdateResponse": {"place": (3, PARCEL, ONE, "Place"), "del_place": (4, TEXT, ONE, "")},
    "ClientOutMessage": {"sync": (1, PARCEL, ONE, "Sync"), "updates": (2, PARCEL, MANY, "UpdateResponse")},
    "AcquirePlaceRequest": {"placename": (1, TEXT, ONE, "")},
    "ReleasePlaceRequest": {"placename": (1, TEXT, ONE, ""), "fromuser": (2, TEXT, ONE, "")},
    "Pair": {"key": (1, TEXT, ONE, ""), "value": (2, TEXT, ONE, "")},
    "Filter": {"filter": (1, PARCEL, MANY, "Pair")},
    "NamedFilter": {"key": (1, TEXT, ONE, ""), "value": (2, PARCEL, ONE, "Filter")},
    "Reservation": {
        "owner": (1, TEXT, ONE, ""),
        "token": (2, TEXT, ONE, ""),
        "state": (3, WHOLE, ONE, ""),
        "allocations": (6, PARCEL, MANY, "Pair"),
    },
    "CreateReservationRequest": {"filters": (1, PARCEL, MANY, "NamedFilter"), "prio": (2, NUMBER, ONE, "")},
    "CreateReservationResponse": {"reservation": (1, PARCEL, ONE, "Reservation")},
    "PollReservationRequest": {"token": (1, TEXT, ONE, "")},
    "PollReservationResponse": {"reservation": (1, PARCEL, ONE, "Reservation")},
    "CancelReservationRequest": {"token": (1, TEXT, ONE, "")},
    "Empty": {},
}


@cache
def messages() -> Any:
    """The classes, by name. A map on the wire is a repeated pair of key and value."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="shipei/labgrid.proto", package="shipei_labgrid", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, label, of) in fields.items():
            one = message.field.add(name=field, number=number, type=kind, label=label)
            if of:
                one.type_name = f".shipei_labgrid.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"shipei_labgrid.{n}")) for n in MESSAGES}
    return SimpleNamespace(**found)
