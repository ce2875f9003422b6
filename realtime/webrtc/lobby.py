"""Who is here: every session and show of the server, and how many more are let in."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections import Counter
from collections.abc import Callable

from realtime.allocator import give_back
from realtime.webrtc.ladder import LOOK_S
from realtime.webrtc.load import Load
from realtime.webrtc.offers import Offer, RefusedError
from realtime.webrtc.pipeline import Parts
from realtime.webrtc.session import Kind, Session
from realtime.webrtc.settings import Settings
from realtime.webrtc.show import Intake, Show

log = logging.getLogger(__name__)
RETRY_S = 10
BUSY_RETRY_S = 1
"""The load is another a second later."""
GIVE_BACK_S = 60.0
"""Frames of several peers meet on the heap now this way, now that, and each new way adds a plane to what it holds. So
often what lies free in it goes back to the system, in the middle of the drawing too: it takes some milliseconds."""
SILENT_S = 0.5
"""Who sends pictures is heard many times within this."""


class Lobby:
    """Opens, finds and ends sessions. Belongs to the event loop."""

    def __init__(
        self,
        *,
        settings: Settings,
        parts: Parts | None = None,
        load: Load | None = None,
        make_intake: Callable[[str | None], Intake] | None = None,
    ) -> None:
        """
        Args:
            settings: of the server.
            parts: of everybody's drawing.
            load: what is measured; None makes it.
            make_intake: takes what publishers send, under the name that they chose; then nothing is drawn by ``parts``.
        """
        assert (parts is None) != (make_intake is None), "what is sent is drawn, or taken by another"
        self.parts = parts
        self.settings = settings
        self.load = load or Load(engine_s=lambda: 0.0 if parts is None else parts.styles.busy_s)
        self._make_intake = make_intake
        self.draining = False
        """The server stops: nobody new is let in."""
        self.opened: Counter[str] = Counter()
        """Sessions by kind since the start, and refusals as ``refused``."""
        self._sessions: dict[str, Session] = {}
        self._gone: dict[str, None] = {}
        self._lookers: Counter[str] = Counter()
        self._ending: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    @property
    def shows(self) -> dict[str, Intake]:
        """Those that can be watched, by name."""
        return {session.show.name: session.show for session in self.sessions if session.kind != "watch"}

    def find(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def was_here(self, session_id: str) -> bool:
        """Whether a session of that id has ended not long ago: deleting it again changes nothing."""
        return session_id in self._gone

    @property
    def loads(self) -> dict[str, tuple[int, int]]:
        """Batches and portraits drawn, by style."""
        return {} if self.parts is None else self.parts.styles.loads

    @property
    def engine_changes(self) -> list[dict[str, str]]:
        """The last changes of engine, by :attr:`realtime.webrtc.pen.Styles.changes`."""
        return [] if self.parts is None else self.parts.styles.changes

    def show(self, name: str) -> Intake:
        """Raises RefusedError 404."""
        found = self.shows.get(name)
        if found is None:
            raise RefusedError(404, "stream: nobody is drawn under this name now")
        return found

    async def open(self, *, kind: Kind, name: str | None, offer: Offer, address: str) -> tuple[Session, str]:
        """A session and its SDP answer. ``name`` is of the show, to watch or to make. Raises RefusedError."""
        self._check_room(kind, name, address)
        session: Session
        show = self.show(name or "") if kind == "watch" else self._new_show(name, lambda: session)
        session = Session(kind=kind, show=show, address=address, settings=self.settings, on_end=self._forget)
        self._sessions[session.id] = session
        self.opened[kind] += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        log.info("event=session-opened kind=%s sessions=%d", kind, len(self._sessions))
        return session, await session.answer(offer)

    def enter(self, address: str) -> None:
        """One who watches without a session (MJPEG). Raises RefusedError; :meth:`leave` when it is over."""
        self._check_room("watch", None, address)
        self._lookers[address] += 1

    def leave(self, address: str) -> None:
        self._lookers[address] -= 1
        self._lookers += Counter()  # zeros go

    def end_soon(self, session: Session, why: str) -> None:
        self._keep(asyncio.create_task(session.end(why)))

    async def close(self) -> None:
        """End all sessions: every peer is told by DTLS, and no new one is let in."""
        self.draining = True
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(session.end("the server stops") for session in self.sessions))
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _tidy(self, closing: asyncio.Task[None]) -> None:
        """When the last has left, hand the system what its frames took."""
        await asyncio.wait([closing])
        if not self._sessions:
            # Connections refer to themselves in circles: what they held would else come free at some later time.
            await asyncio.to_thread(gc.collect)
            await asyncio.to_thread(give_back)

    async def _look(self) -> None:
        """For as long as anybody is here."""
        given = time.monotonic()
        while self._sessions:
            await asyncio.sleep(LOOK_S)
            if time.monotonic() - given >= GIVE_BACK_S:
                await asyncio.to_thread(give_back)
                given = time.monotonic()
            try:
                self.load.look([show for show in self.shows.values() if isinstance(show, Show)])
            except Exception as error:  # a system that does not tell its figures must not end the server
                log.warning("event=cannot-measure error=%s %s", type(error).__name__, error)
        self._looking = None

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _new_show(self, name: str | None, session: Callable[[], Session]) -> Intake:
        if self._make_intake is not None:
            return self._make_intake(name)
        assert self.parts is not None
        return Show(
            parts=self.parts,
            name=name,
            on_failure=lambda error: self.end_soon(session(), f"its drawing failed: {type(error).__name__}"),
        )

    def _check_room(self, kind: Kind, name: str | None, address: str) -> None:
        limits, here = self.settings.limits, self.sessions
        mine = sum(session.address == address for session in here) + self._lookers[address]
        drawn = sum(session.kind != "watch" for session in here)
        watching = len(here) - drawn + self._lookers.total()
        full = watching >= limits.watchers if kind == "watch" else drawn >= limits.peers
        # Who has gone without a word is here for some seconds still, and may be the one who comes back.
        heard = sum(one.kind != "watch" and one.seconds_silent < SILENT_S for one in here)
        busy = kind != "watch" and limits.by_load and self.load.full(heard)
        if self.draining or full or busy or mine >= limits.per_address:
            self.opened["refused"] += 1
            why = "the server is full" if full or not busy else "the machine is too busy for one more"
            why = "the server is about to stop" if self.draining else why
            retry_s = RETRY_S if self.draining or full or not busy else BUSY_RETRY_S
            raise RefusedError(503, f"{why}; try again in {retry_s} s", retry_after=retry_s)
        if kind != "watch" and name is not None and name in self.shows:
            raise RefusedError(409, f"stream: {name!r} is being sent to by another; choose another name")

    def _forget(self, session: Session, closing: asyncio.Task[None]) -> None:
        self._keep(closing)
        self._sessions.pop(session.id, None)
        self._keep(asyncio.create_task(self._tidy(closing)))
        self._gone[session.id] = None
        while len(self._gone) > 1000:
            self._gone.pop(next(iter(self._gone)))
        if session.kind != "watch":
            for other in self.sessions:
                if other.show is session.show:
                    self.end_soon(other, "what it watched has ended")
