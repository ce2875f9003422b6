"""Who is here: every session and show of the server, and how many more are let in."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from realtime.allocator import give_back
from realtime.webrtc.offers import Offer, RefusedError
from realtime.webrtc.pipeline import Parts
from realtime.webrtc.session import Kind, Session
from realtime.webrtc.settings import Settings
from realtime.webrtc.show import Show

log = logging.getLogger(__name__)
RETRY_S = 10


class Lobby:
    """Opens, finds and ends sessions. Belongs to the event loop."""

    def __init__(self, *, parts: Parts, settings: Settings) -> None:
        self.parts = parts
        self.settings = settings
        self.draining = False
        """The server stops: nobody new is let in."""
        self.opened: Counter[str] = Counter()
        """Sessions by kind since the start, and refusals as ``refused``."""
        self._sessions: dict[str, Session] = {}
        self._gone: dict[str, None] = {}
        self._lookers: Counter[str] = Counter()
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def sessions(self) -> list[Session]:
        return list(self._sessions.values())

    @property
    def shows(self) -> dict[str, Show]:
        """Those that can be watched, by name."""
        return {session.show.name: session.show for session in self.sessions if session.kind != "watch"}

    def find(self, session_id: str) -> Session | None:
        return self._sessions.get(session_id)

    def was_here(self, session_id: str) -> bool:
        """Whether a session of that id has ended not long ago: deleting it again changes nothing."""
        return session_id in self._gone

    def show(self, name: str) -> Show:
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
        await asyncio.gather(*(session.end("the server stops") for session in self.sessions))
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _tidy(self, closing: asyncio.Task[None]) -> None:
        """When the last has left, hand the system what its frames took."""
        await asyncio.wait([closing])
        if not self._sessions:
            await asyncio.to_thread(give_back)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _new_show(self, name: str | None, session: Callable[[], Session]) -> Show:
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
        if self.draining or full or mine >= limits.per_address:
            self.opened["refused"] += 1
            why = "the server is about to stop" if self.draining else "the server is full"
            raise RefusedError(503, f"{why}; try again in {RETRY_S} s", retry_after=RETRY_S)
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
