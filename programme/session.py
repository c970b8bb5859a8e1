"""Who acts in a programme, and when: what every change of a certificate or a waiver needs."""

from dataclasses import dataclass
from datetime import datetime

from harness.signing.keys import Signer
from programme.folder import Folder


@dataclass(frozen=True)
class Session:
    """An opened programme with the private key of the person who acts, and the time, in UTC, that their signatures state."""

    folder: Folder
    key: Signer
    now: datetime
