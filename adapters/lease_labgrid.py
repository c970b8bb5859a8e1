"""A labgrid place: reserved and acquired at its coordinator over gRPC, watched, released."""

import getpass
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from adapters._labgrid.messages import messages
from adapters.lease_command import Watched, given_back, waited
from harness.errors import RigError
from harness.model import noun

SERVICE = "/labgrid.Coordinator/"
WAITING, ALLOCATED, ACQUIRED = 0, 1, 2  # states of a reservation
CALL_S = 10.0


class Coordinator:
    """Our session at a coordinator: a stream that says who we are and hears of places, and calls."""

    def __init__(self, address: str, user: str) -> None:
        try:
            import grpc
        except ImportError as error:
            raise RigError("a labgrid place needs gRPC: pip install 'shipei[labgrid]'") from error
        self.grpc, self.address, self.user, self.m = grpc, address, user, messages()
        self.channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])  # a session a connection
        self.outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.places: dict[str, str] = {}  # name -> who has acquired it
        self.broken = ""
        self.heard = threading.Event()
        self.thread = threading.Thread(target=self.listen, daemon=True)

    def start(self) -> None:
        """Raises RigError when the coordinator is not there."""
        m = self.m
        self.outgoing.put(m.ClientInMessage(startup=m.StartupDone(version="25.0", name=self.user)))
        self.outgoing.put(m.ClientInMessage(subscribe=m.Subscribe(all_places=True)))
        self.outgoing.put(m.ClientInMessage(sync=m.Sync(id=1)))
        self.thread.start()
        if not self.heard.wait(CALL_S) or self.broken:
            raise RigError(f"no labgrid coordinator at {self.address}: {self.broken or 'no answer'}")

    def listen(self) -> None:
        call = self.channel.stream_stream(
            f"{SERVICE}ClientStream",
            request_serializer=self.m.ClientInMessage.SerializeToString,
            response_deserializer=self.m.ClientOutMessage.FromString,
        )
        try:
            for message in call(iter(self.outgoing.get, None)):
                for update in message.updates:
                    if update.place.name:
                        self.places[update.place.name] = update.place.acquired
                    elif update.del_place:
                        self.places.pop(update.del_place, None)
                if message.HasField("sync"):
                    self.heard.set()
            self.broken = "it ended the session"
        except self.grpc.RpcError as error:
            self.broken = error.details() or str(error.code())
        self.heard.set()

    def call(self, name: str, request: Any, answer: str = "Empty") -> Any:
        """One call. Raises RigError with the coordinator's own words."""
        call = self.channel.unary_unary(
            SERVICE + name,
            request_serializer=type(request).SerializeToString,
            response_deserializer=getattr(self.m, answer).FromString,
        )
        try:
            return call(request, timeout=CALL_S)
        except self.grpc.RpcError as error:
            raise RigError(f"the labgrid coordinator at {self.address} says: {error.details()}") from error

    def close(self) -> None:
        self.outgoing.put(None)
        self.channel.close()
        self.thread.join(2.0)


@noun
class LabgridPlace:
    """The place of that name at a coordinator; who has it is HOST/USER, as labgrid's own client says it."""

    place: str
    coordinator: str = "127.0.0.1:20408"
    priority: float = 0.0
    wait_s: float = 600.0
    look_s: float = 1.0

    @contextmanager
    def reserve(self, rig: str, tell: Callable[[str], None]) -> Iterator[Watched]:
        user = f"{socket.gethostname()}/{getpass.getuser()}"
        session = Coordinator(self.coordinator, user)
        try:
            session.start()
            if self.place not in session.places:
                known = ", ".join(sorted(session.places)) or "none"
                raise RigError(
                    f"the labgrid coordinator at {self.coordinator} has no place {self.place!r}; it has {known}"
                )
            with self.reserved(session, tell) as poll:
                session.call("AcquirePlace", session.m.AcquirePlaceRequest(placename=self.place))
                watched = Watched(lambda: self.look(session, user, poll), self.look_s)
                try:
                    yield watched
                finally:
                    watched.close()
                    if not watched.lost:
                        back = session.m.ReleasePlaceRequest(placename=self.place, fromuser=user)
                        given_back(lambda: session.call("ReleasePlace", back), tell)
        finally:
            session.close()

    @contextmanager
    def reserved(self, session: Coordinator, tell: Callable[[str], None]) -> Iterator[Callable[[], Any]]:
        """Stand in the queue for the place; what keeps the reservation alive."""
        m = session.m
        wanted = m.NamedFilter(key="main", value=m.Filter(filter=[m.Pair(key="name", value=self.place)]))
        request = m.CreateReservationRequest(filters=[wanted], prio=self.priority)
        token = session.call("CreateReservation", request, "CreateReservationResponse").reservation.token

        def poll() -> Any:
            return session.call(
                "PollReservation", m.PollReservationRequest(token=token), "PollReservationResponse"
            ).reservation

        def not_yet() -> str:
            state = poll().state
            if state in (ALLOCATED, ACQUIRED):
                return ""
            if state != WAITING:
                raise RigError(f"the labgrid reservation of {self.place} is no longer valid")
            holder = session.places.get(self.place) or "a reservation before ours"
            return f"the labgrid place {self.place} is with {holder}"

        try:
            waited(not_yet, self.wait_s, self.look_s, tell)
            yield poll
        finally:
            if not session.broken:
                cancel = m.CancelReservationRequest(token=token)
                given_back(lambda: session.call("CancelReservation", cancel), tell)

    def look(self, session: Coordinator, user: str, poll: Callable[[], Any]) -> None:
        if session.broken:
            raise RigError(
                f"the labgrid coordinator at {self.coordinator} is gone ({session.broken}): the place {self.place} may be lost"
            )
        holder = session.places.get(self.place, "")
        if holder != user:
            raise RigError(f"the labgrid place {self.place} is lost: it is with {holder or 'nobody'} now")
        poll()
