"""What every Rain socket has in common: the limits, the options that enforce them, and how its messages are read.

A message is a list of frames: the first is the header, the others are payload. A connection is found dead by the
heartbeats of the transport itself (its own thread answers them, so a busy loop is not a dead peer).
"""

from __future__ import annotations

import msgspec
import zmq

from rain.core.liveness import DEAD_AFTER_S, HEARTBEAT_S
from rain.wire.keys import KeyPair

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]
Frame = bytes | memoryview
Frames = list[Frame]

#: From this size on a received frame is handed over as a view instead of a copy.
VIEW_BYTES = 32 * 1024
#: From this size on a frame is sent as it lies in memory instead of copied, and followed until it has left.
FOLLOWED_BYTES = 64 * 1024
MIB = 1024 * 1024
_AN_HOUR_MS = 3_600_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of endpoint takes from a peer and keeps for a peer."""

    #: A larger frame breaks the connection before it is allocated.
    frame_bytes: int
    #: A message of more frames gets its sender dropped.
    frames: int = 32
    #: Messages that the transport queues for a peer, before the outbox.
    queue_messages: int = 1000
    #: Messages that the transport queues from a peer, before that has to wait.
    receive_messages: int = 64
    #: Bytes of large messages that the transport queues for a peer, before the outbox; one larger message goes, too.
    flight_bytes: int = 32 * MIB
    #: What waits in order for a peer that reads too slowly; beyond it the peer is given up.
    outbox_bytes: int = 256 * MIB
    #: Messages handed over at once, so that one turn of the loop stays short.
    batch_messages: int = 1000
    #: Time to prove who one is; after it an idle connection is closed.
    handshake_s: float = 5.0
    #: How long closing waits in the background for the last words to leave.
    linger_s: float = 2.0


#: Submits and reports: blobs travel as payload frames of up to 64 MiB, with room for the header's columns.
CONTROL = Limits(frame_bytes=65 * MIB)
#: Data moves in chunks of 1 MiB; few of them are queued, the rest waits for the reader.
DATA = Limits(frame_bytes=4 * MIB, queue_messages=32, receive_messages=32, batch_messages=64, outbox_bytes=128 * MIB)


def new_context() -> Context:
    """A context for the sockets of one loop; close it with `close_context`."""
    return zmq.Context()


def close_context(context: Context) -> None:
    """Ends a context after its sockets were closed; waits at most as long as they linger."""
    context.term()


def client_options(socket: Socket, keypair: KeyPair, server_key: bytes) -> None:
    """Makes `socket` the connecting side of CURVE: it talks to the owner of `server_key` and to nobody else."""
    socket.curve_publickey = keypair.public
    socket.curve_secretkey = keypair.secret
    socket.curve_serverkey = server_key


def server_options(socket: Socket, keypair: KeyPair, domain: str) -> None:
    """Makes `socket` the listening side of CURVE: it lets in who the gate of its context lists for `domain`."""
    socket.curve_publickey = keypair.public
    socket.curve_secretkey = keypair.secret
    socket.curve_server = True
    # CURVE alone only proves the server; with these two a missing gate means that nobody gets in.
    socket.zap_domain = domain.encode()
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def transport_options(socket: Socket, limits: Limits) -> None:
    """Bounds, time limits and life signs; to be set before bind or connect."""
    options = {
        zmq.MAXMSGSIZE: limits.frame_bytes,
        zmq.SNDHWM: limits.queue_messages,
        zmq.RCVHWM: limits.receive_messages,
        zmq.HANDSHAKE_IVL: round(limits.handshake_s * 1000),
        zmq.LINGER: round(limits.linger_s * 1000),
        zmq.HEARTBEAT_IVL: round(HEARTBEAT_S * 1000),
        zmq.HEARTBEAT_TIMEOUT: round(DEAD_AFTER_S * 1000),
        zmq.HEARTBEAT_TTL: round(DEAD_AFTER_S * 1000),
        zmq.TCP_KEEPALIVE: 1,
        zmq.TCP_KEEPALIVE_IDLE: 30,
        zmq.TCP_KEEPALIVE_INTVL: 10,
        zmq.TCP_KEEPALIVE_CNT: 3,
        # A connection is a peer: a new one never continues an old one, so nothing reconnects by itself. Not "never"
        # (-1), with which the transport throws away what had arrived and was not read yet when a connection ends.
        zmq.RECONNECT_IVL: _AN_HOUR_MS,
    }
    for option, value in options.items():
        socket.setsockopt(option, value)


def endpoint_url(address: str, port: int) -> str:
    """The URL of a numeric address; an IPv6 address gets its brackets."""
    return f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}"


def frame_content(frame: zmq.Frame) -> Frame:
    """The bytes of a received frame; a view of it where a copy would cost more."""
    return frame.bytes if len(frame) < VIEW_BYTES else frame.buffer


def read_payload(socket: Socket, message: Frames, limit: int) -> bool:
    """Appends the rest of a message that is being read; False (and the rest thrown away) if it has too many frames."""
    while True:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        if len(message) < limit:
            message.append(frame_content(frame))
            within = True
        else:
            within = False
        if not frame.more:
            return within


def write_message(socket: Socket, message: Frames) -> list[zmq.MessageTracker]:
    """Sends without ever waiting; a tracker of each large frame, which is not copied.

    Raises zmq.Again when the queue is full.
    """
    if all(len(frame) < FOLLOWED_BYTES for frame in message):
        socket.send_multipart(message, zmq.NOBLOCK, copy=False)
        return []
    frames = [
        frame if len(frame) < FOLLOWED_BYTES else zmq.Frame(frame, track=True, copy=False, copy_threshold=0)
        for frame in message
    ]
    trackers = [frame.tracker for frame in frames if isinstance(frame, zmq.Frame)]
    socket.send_multipart(frames, zmq.NOBLOCK, copy=False)
    return [tracker for tracker in trackers if tracker is not None]


def size_bytes(message: Frames) -> int:
    """The bytes of all frames of a message."""
    return sum(frame.nbytes if isinstance(frame, memoryview) else len(frame) for frame in message)
