"""When a silent peer is suspected and when it is given up; both sides of a link use the same numbers."""

from __future__ import annotations

import msgspec

#: Both sides of a link say something at least this often.
HEARTBEAT_S = 2.0
#: After this silence a peer is shown as suspect and gets no new tasks.
SUSPECT_AFTER_S = 6.0
#: After this silence a peer is given up.
DEAD_AFTER_S = 20.0
#: The same for clients, whose program may keep Rain's thread from speaking (a call that holds the interpreter's lock).
#: One whose machine or process is gone is noticed sooner: its connection ends, and the transport has heartbeats, too.
CLIENT_DEAD_AFTER_S = 300.0


class Tick(msgspec.Struct, frozen=True):
    """An event of every machine: time passed. Comes once or twice a second, so that silence is noticed."""
