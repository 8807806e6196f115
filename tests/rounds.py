"""What goes round and round in a thread of its own beside a test: ``start`` and ``stop`` are its whole life."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Self


@dataclass
class Rounds(ABC):
    """Goes one round after another until it is stopped; what goes wrong ends it, and ``stop`` raises it."""

    #: Seconds from a round's end to the next one.
    pause: ClassVar[float] = 0.2
    ending: threading.Event = field(default_factory=threading.Event, init=False)
    error: BaseException | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> Self:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End; raise what went wrong."""
        self.ending.set()
        if self._thread is not None:
            self._thread.join()
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def go_round(self) -> None:
        """Do once what is done again and again; in the thread."""

    def held(self) -> AbstractContextManager[object]:
        """Return what the thread holds while it goes its rounds, such as a connection that is its own."""
        return contextlib.nullcontext()

    def _run(self) -> None:
        try:
            with self.held():
                while not self.ending.wait(self.pause):
                    self.go_round()
        except BaseException as error:  # raised again by stop(), in the test's own thread
            self.error = error
