"""The client's connection: one background thread with its own loop, around the machine.

User threads hand over messages and wait for futures; nothing else crosses. The thread blocks all signals, so that
Ctrl-C always reaches the thread that waits.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import itertools
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from rain.client.connect import Target
from rain.client.conversation import Conversation
from rain.client.endings import say_goodbye, unless
from rain.client.fetched import FetchedData
from rain.client.fetching import Ask, brings_all, fetch_objects, first_locate
from rain.client.handshake import greet
from rain.client.machine.effects import MarkSessionFailed, MarkUnrunnable, Reply, Trouble
from rain.client.machine.events import Request
from rain.client.pacing import PacedSender, Ticket
from rain.client.pending import LOOK_UP_S, interruptible_result
from rain.core.errors import ProtocolViolation, RainException, SessionException
from rain.core.ids import SERVER
from rain.core.liveness import HEARTBEAT_S
from rain.protocol.client import ClientAlive, to_client_decoder
from rain.protocol.codec import encode
from rain.protocol.hello import Refusal, Welcome, answer_decoder
from rain.protocol.transfer import Peer
from rain.wire.endpoint import Context, Frames, close_context, new_context
from rain.wire.fetcher import Fetcher
from rain.wire.link import Link
from rain.wire.owned_directory import new_owned_directory, temporary_base

_log = logging.getLogger("rain.client")

T = TypeVar("T")

#: Connecting takes at most this long.
CONNECT_LIMIT_S = 5.0
#: What to do then.
_AFTER_LOSS = (
    "Make a new client when a server runs there again; sessions that had a ttl can be attached to the same server"
)
#: Ending the thread, after the goodbye, takes at most this long.
CLOSE_LIMIT_S = 5.0


class Shell:
    """A connection that stands, or is lost for good; made by `Shell(target)`, which raises RainException.

    `on_session_news` is called in the I/O thread.
    """

    def __init__(self, target: Target, on_session_news: Callable[[MarkSessionFailed | MarkUnrunnable], None]) -> None:
        self.target = target
        self._pid = os.getpid()
        self._conversation = Conversation(self._send, self._send_at_once, on_session_news)
        self._sender: PacedSender | None = None
        self._link: Link | None = None
        self._fetcher: Fetcher | None = None
        #: Set when the loop shall end.
        self._over: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._closed = False
        #: Some of its sessions go on without it: what they submitted is sent to its end before the connection ends.
        self.outlived = False
        #: The server knows that this client goes, or will not listen.
        self._left = threading.Event()
        #: The loop will run nothing any more; what was started too late is cancelled, so that nobody waits for ever.
        self._ended = False
        self._running: set[concurrent.futures.Future[Any]] = set()
        self.lost_reason: str | None = None
        #: Private folder for large objects that were fetched.
        self.directory = new_owned_directory("client", temporary_base())
        started: concurrent.futures.Future[Welcome] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="rain-client", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        try:
            self.welcome = interruptible_result(started)
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------ called by user threads

    def ask(self, make: Callable[[int], Request]) -> concurrent.futures.Future[Reply | Trouble]:
        """Sends the request that `make(number)` builds; the future has its one outcome. Cancelling it gives it up."""
        self._check()
        return self._conversation.ask(make)

    def ask_on(
        self,
        make: Callable[[int], Request],
        then: Callable[[Reply | Trouble], concurrent.futures.Future[T] | None],
    ) -> concurrent.futures.Future[tuple[Reply | Trouble, T | None]]:
        """The same, and where `then(outcome)` begins something with it, the outcome of that, too."""
        self._check()
        return self._conversation.ask_on(make, then)

    def run(self, steps: Callable[[Ask], Coroutine[Any, Any, T]]) -> concurrent.futures.Future[T]:
        """Runs a coroutine of several requests in the I/O thread; `steps` gets the function that makes one."""
        return self._start(steps(self._conversation.asked))

    def fetch(
        self, session: int, objects: Sequence[int]
    ) -> concurrent.futures.Future[tuple[Reply | Trouble, FetchedData | Trouble | None]]:
        """Gets objects as soon as they are finished, in this order; `fetching.fetched` reads the outcome.

        Where the server's first answer brings all, no coroutine is begun: that would cost two turns of the loop.
        """

        def go_on(answer: Reply | Trouble) -> concurrent.futures.Future[FetchedData | Trouble] | None:
            if isinstance(answer, Trouble) or brings_all(answer, objects):
                return None
            return self._start(self._fetch(session, objects, answer))

        return self.ask_on(lambda request: first_locate(request, session, objects), go_on)

    def submit(
        self,
        session: int,
        n_tasks: int,
        n_bytes: int,
        messages: Sequence[Frames],
        ticket: Ticket,
        *,
        streamed: Iterable[Frames] = (),
    ) -> concurrent.futures.Future[Trouble | None]:
        """Sends the messages of a submit when the window is open and the ticket can still be taken.

        Before that those of `streamed`, each made in another thread when the server has read what precedes it; what
        that raises is raised by the future, and there is no submit then.
        """
        self._check()

        def submit() -> concurrent.futures.Future[Trouble | None]:
            return self._conversation.submit(session, n_tasks, n_bytes, messages, ticket)

        return self._start(self._after(streamed, submit)) if streamed else submit()

    def tell(self, message: Any) -> None:
        """Sends a message that nobody answers."""
        self._check()
        self._conversation.tell([encode(message)])

    @property
    def usable(self) -> bool:
        """Whether requests can be made here and now."""
        return not self._closed and self.lost_reason is None and os.getpid() == self._pid

    def close(self) -> None:
        """Ends the connection and the thread, removes the folder; repeatable, and nothing happens in a forked child."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        atexit.unregister(self.close)
        try:
            self._loop.call_soon_threadsafe(self._over.set)
        except (AttributeError, RuntimeError):
            pass  # The thread did not get so far, or has ended by itself.
        try:
            # A client that was let go may be found by a garbage collection in its own I/O thread.
            if threading.current_thread() is not self._thread:
                self._await_end()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _await_end(self) -> None:
        """Looks up now and then: a signal that another thread took does not wake this one."""
        while not self._left.wait(LOOK_UP_S) and self._thread.is_alive():
            pass
        deadline = time.monotonic() + CLOSE_LIMIT_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(LOOK_UP_S)

    def check_process(self) -> None:
        """Raises RainException in a process that was forked from the one that connected."""
        if os.getpid() != self._pid:
            raise RainException(
                "this process was forked from the one that made the client, and a connection cannot be shared: "
                "make a new Client() in this process"
            )

    def _check(self) -> None:
        self.check_process()
        if self._closed:
            raise SessionException("the client was closed: make a new one with `Client(…)`")

    def _start(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        try:
            self._check()
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException as error:
            coroutine.close()
            if isinstance(error, RuntimeError):
                raise SessionException(f"the client's connection has ended: {self.lost_reason}") from None
            raise
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        if self._ended:
            future.cancel()
        return future

    # ------------------------------------------------------------------ in the I/O thread

    def _run(self, started: concurrent.futures.Future[Welcome]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            asyncio.run(self._main(started))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            else:
                _log.exception("the client's connection ended with an error of its own")
        finally:
            self._ended = True
            self._left.set()
            self._conversation.end()
            for future in list(self._running):
                future.cancel()

    async def _main(self, started: concurrent.futures.Future[Welcome]) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        if self._closed:
            self._over.set()
        context = new_context()
        try:
            # Whoever was interrupted does not wait for what cannot be stopped, such as a name server.
            welcome = await unless(self._over, self._connect(context), self._left.set)
            if welcome is None:
                raise SessionException("the client was closed while it connected")
            started.set_result(welcome)
            beats = asyncio.create_task(self._beat())
            await self._over.wait()
            if self.lost_reason is None and self._sender is not None:
                await say_goodbye(self._conversation.asked, self._sender, outlived=self.outlived)
            self._left.set()
            beats.cancel()
            self._go_away("the client was closed")
        finally:
            if self._fetcher is not None:
                self._fetcher.close()
            if self._link is not None:
                self._link.close()
            await asyncio.sleep(0)
            close_context(context)

    async def _connect(self, context: Context) -> Welcome:
        access = self.target.access
        first: asyncio.Future[bytes] = self._loop.create_future()

        def on_batch(batch: list[Frames]) -> None:
            if not first.done():
                first.set_result(bytes(batch.pop(0)[0]))
            self._hear(batch)

        def on_lost(reason: str) -> None:
            if not first.done():
                first.set_exception(RainException(f"the server at {self.target} ended the connection: {reason}"))
            self._go_away(reason)

        self._link = await Link.connect(
            context,
            self.target.host,
            self.target.port,
            keypair=access.keypair,
            server_key=access.server_key.encode(),
            on_batch=on_batch,
            on_lost=on_lost,
            timeout_s=CONNECT_LIMIT_S,
            access=self.target.source,
        )
        self._sender = PacedSender(self._link)
        self._conversation.start()
        welcome = await greet(self._link, first, str(self.target), CONNECT_LIMIT_S)
        self._fetcher = Fetcher(context, access.keypair, self.directory)
        host = welcome.data_host or self.target.host
        self._fetcher.learn([Peer(SERVER, host, welcome.data_port, welcome.data_key)])
        return welcome

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._send([encode(ClientAlive())])

    async def _fetch(self, session: int, objects: Sequence[int], first: Reply) -> FetchedData | Trouble:
        assert self._fetcher is not None, "a shell that stands has a fetcher"
        return await fetch_objects(self._conversation.asked, self._fetcher, session, objects, first)

    async def _after(
        self, streamed: Iterable[Frames], submit: Callable[[], concurrent.futures.Future[Trouble | None]]
    ) -> Trouble | None:
        if self._sender is not None:
            await self._sender.stream(streamed)
        return await asyncio.wrap_future(submit())

    def _hear(self, batch: list[Frames]) -> None:
        try:
            messages = [to_client_decoder.decode(frame) for frames in batch for frame in frames]
        except ProtocolViolation as violation:
            complaint = f"it said something that this version of Rain does not understand ({violation})"
            self._go_away(_refusal(batch) or complaint)
            return
        self._conversation.heard(messages)

    def _go_away(self, reason: str) -> None:
        if self.lost_reason is None:
            self.lost_reason = reason
            if self._sender is not None:
                self._sender.clear()
            self._conversation.server_gone(
                f"the connection to the server at {self.target} was lost: {reason}. {_AFTER_LOSS}"
            )

    def _send_at_once(self, frames: Frames) -> bool:
        return self._sender is not None and self.lost_reason is None and self._sender.send_at_once(frames)

    def _send(self, frames: Frames) -> None:
        if self._sender is not None and self.lost_reason is None:
            self._sender.send(frames)


def _refusal(batch: list[Frames]) -> str | None:
    """Why the server listens to this client no more, where it says so in one of these messages."""
    for frame in itertools.chain.from_iterable(batch):
        with contextlib.suppress(ProtocolViolation):
            answer = answer_decoder.decode(frame)
            if isinstance(answer, Refusal):
                return f"it dropped this client: {answer.reason}"
    return None
