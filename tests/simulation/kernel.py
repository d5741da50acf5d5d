"""Simulated time: tasks that take turns, each in a process that can be frozen or killed, and one queue of events.

A task runs in a greenlet until it waits; then time jumps to the next event. Nothing runs at the same time as
anything else and nothing is left to the machine, so that a run is decided by its seed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from greenlet import GreenletExit, greenlet


class Process:
    """A process on a host. ``step``: seconds by which its wall clock is off; ``slept``: for which it was frozen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.frozen_until = 0.0
        self.slept = 0.0
        self.step = 0.0
        self.points = 0
        self.at_point: Callable[[str], None] | None = None
        """Called at each point; may freeze or kill the process."""


class Task:
    """Something that runs in a process."""

    def __init__(self, process: Process, work: Callable[[], Any]) -> None:
        self.process = process
        self.turn = 0
        self.dead = False
        """Whether it has ended."""
        self._work = work
        self._worker: _Worker | None = None
        self.has_marked = False
        """Whether what it sends next is a placing call."""
        self.is_placing = False
        """Whether it has come as far as that."""

    def switch(self, value: Any) -> None:
        """Start it, or end its wait with ``value``; returns when it waits again, or has ended."""
        if self._worker is not None:
            self._worker.switch(value)
            return
        self._worker = worker = _RESTING.pop() if _RESTING else _Worker()
        worker.gr_context = None  # what the task before has set
        worker.switch(self)

    def throw(self) -> None:
        """End it where it waits."""
        if self._worker is None:
            self.dead = True
        else:
            self._worker.throw()

    def carry_out(self) -> None:
        """Do what it is for."""
        try:
            self._work()
        except GreenletExit:
            pass
        finally:
            self.dead = True


class _Worker(greenlet):
    """Runs one task after the other, because a new greenlet costs as much as what a task does in it."""

    def run(self, task: Task) -> None:  # type: ignore[override]
        parent = self.parent
        while True:
            task.carry_out()
            del task
            _RESTING.append(self)
            task = parent.switch()


_RESTING: list[_Worker] = []


class Kernel:
    """The clock and all that waits for it. ``now``: seconds since boot."""

    def __init__(self) -> None:
        self.now = 0.0
        self.current: Task | None = None
        self.tasks: list[Task] = []
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._hub = greenlet.getcurrent()

    def at(self, when: float, act: Callable[..., None], *arguments: Any) -> None:
        """Have ``act`` called at a time."""
        self._number = number = self._number + 1
        now = self.now
        heappush(self._events, (when if when > now else now, number, act, arguments))

    def after(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        """Have ``act`` called in ``seconds``."""
        self._number = number = self._number + 1
        now = self.now
        heappush(self._events, (now + seconds if seconds > 0 else now, number, act, arguments))

    def spawn(self, process: Process, work: Callable[[], Any]) -> Task:
        """A new task, which starts as soon as others wait."""
        task = Task(process, work)
        self.tasks.append(task)
        self.at(self.now, self._resume, task, 0, None)
        return task

    def wait(self, seconds: float | None = None) -> Any:
        """Let others run until :meth:`wake`, whose value is given, or for ``seconds``; then None is given."""
        task = self.current
        assert task is not None
        task.turn = turn = task.turn + 1
        if seconds is not None:
            self._number = number = self._number + 1
            now = self.now
            heappush(self._events, (now + seconds if seconds > 0 else now, number, self._resume, (task, turn, None)))
        return self._hub.switch()

    def wake(self, task: Task, value: Any = True) -> None:
        """End the wait that a task is in."""
        self.at(self.now, self._resume, task, task.turn, value)

    def point(self, name: str) -> None:
        """Something can happen to the process here."""
        task = self.current
        if task is None:
            return
        process = task.process
        process.points += 1
        if process.at_point is not None:
            process.at_point(name)
        if process.is_dead:
            self.wait()
        if process.frozen_until > self.now:
            self.wait(process.frozen_until - self.now)

    def run(self, until: float) -> None:
        """Run until a time, or until nothing is left to happen."""
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, act, arguments = heappop(events)
            act(*arguments)
        self.now = max(self.now, until)

    def end(self) -> None:
        """End all tasks, wherever they are."""
        self._events.clear()
        for task in self.tasks:
            task.process.is_dead = True
        for task in self.tasks:
            if not task.dead:
                self.current = task
                task.throw()
        self.current = None
        self.tasks.clear()

    def _resume(self, task: Task, turn: int, value: Any) -> None:
        process = task.process
        if task.turn != turn or process.is_dead or task.dead:
            return
        if process.frozen_until > self.now:
            self.at(process.frozen_until, self._resume, task, turn, value)
            return
        self.current = task
        task.switch(value)
        self.current = None


class Lock:
    """A lock among tasks, with the interface of :class:`threading.Lock`."""

    kernel: Kernel | None = None

    def __init__(self) -> None:
        self._is_held = False
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        kernel = Lock.kernel
        if not self._is_held or kernel is None or kernel.current is None or kernel.current.process.is_dead:
            taken = not self._is_held
            self._is_held = True
            return taken
        task = kernel.current
        until = None if timeout < 0 else kernel.now + timeout
        while self._is_held:
            if not blocking or (until is not None and kernel.now >= until):
                return False
            self._waiting.append(task)
            kernel.wait(None if until is None else until - kernel.now)
            if task in self._waiting:
                self._waiting.remove(task)
            if task.process.is_dead:
                return False
        self._is_held = True
        return True

    def release(self) -> None:
        self._is_held = False
        if self._waiting and Lock.kernel is not None:
            Lock.kernel.wake(self._waiting.pop(0))

    def locked(self) -> bool:
        return self._is_held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
