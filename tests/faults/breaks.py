"""Every way to break a change, the share of them that is run, and the lanes that run it side by side."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from tests.faults.lanes import Break, Result
from tests.faults.pgworld import kept_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.faults.entries import Recording
    from tests.faults.lanes import Lane
    from tests.faults.scenarios import Scenario
    from tests.faults.world import World

T = TypeVar("T")
UNKNOWN: Final = "no break is named"


def all_breaks(recording: Recording) -> list[Break]:
    """Return every way to break the change: all kills, then all replies lost, so that a spread has half of each."""
    return [Break(entry, mode) for mode in ("kill", "reply lost") for entry in recording.entries]


def spread(breaks: Sequence[Break], share: str, seed: int) -> list[Break]:
    """Return so many of them, evenly spread, and others for another seed; all for ``all``; or those whose names begin
    with one of the words between semicolons; LookupError if there is none."""
    if share != "all" and not share.isdigit():
        named = tuple(words.strip() for words in share.split(";"))
        found = [broken for broken in breaks if str(broken).startswith(named)]
        if not found:
            raise LookupError(f"{UNKNOWN} {share!r}; there are:\n" + "\n".join(map(str, breaks)))
        return found
    if share == "all" or int(share) >= len(breaks):
        return list(breaks)
    count = int(share)
    return [breaks[(seed + number * len(breaks) // count) % len(breaks)] for number in range(count)]


def side_by_side(lanes: Sequence[Lane], tasks: Sequence[Callable[[Lane], T]]) -> list[T]:
    """Run every task on whichever lane is free; return what they returned, in no order; raise the first error."""
    waiting: queue.SimpleQueue[Callable[[Lane], T]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    results: list[T] = []
    errors: list[BaseException] = []

    def work(lane: Lane) -> None:
        try:
            with kept_sessions():
                while not errors:
                    results.append(waiting.get_nowait()(lane))
        except queue.Empty:
            pass
        except BaseException as error:  # raised again below, in the test's own thread
            errors.append(error)
        finally:
            lane.installation.objects.close()

    threads = [threading.Thread(target=work, args=(lane,), name=lane.label) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def run_breaks(lanes: Sequence[Lane], scenario: Scenario, breaks: Sequence[Break], reference: World) -> list[Result]:
    """Run every break on whichever lane is free; of a staged scenario, each lane has its even share."""

    def task(broken: Break) -> Callable[[Lane], Result]:
        return lambda lane: lane.broken_run(scenario, broken, reference)

    if not scenario.staged:
        return side_by_side(lanes, [task(broken) for broken in breaks])

    together = threading.Barrier(len(lanes))  # one task a lane, for each takes the share that it has tenants for

    def share(lane: Lane) -> list[Result]:
        together.wait()
        return [task(broken)(lane) for broken in breaks[lanes.index(lane) :: len(lanes)]]

    return [result for results in side_by_side(lanes, [share] * len(lanes)) for result in results]


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value that this part of all do not exceed."""
    return sorted(values)[max(0, -(-int(len(values) * part * 100) // 100) - 1)]
