"""Processes that read pages, one per core: started once, and handed one page after the other.

One interpreter uses one core. This is the parent's side; what a process does is in `worker`.
"""

import os
import queue
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from signal import Signals

import msgspec

from efo_assets import errors
from efo_assets.errors import WorkerEnded
from efo_assets.ols import acceptance, payload
from efo_assets.ols.acceptance import SmallerPages
from efo_assets.ols.reading import ReadPage, Task
from efo_assets.ols.records import TermKeys
from efo_assets.pipeline.worker import ANSWER, Answer, Failed
from efo_assets.warehouse.copy_rows import CopyRows

MOST_WORKERS = 4
WORTH_A_WORKER_ROWS = 3_000
"""Classes; about a third of a second's work, as long as it takes to start a process."""


def workers_for(rows: int) -> int:
    """How many processes are worth to be started for so many classes; 0 where none is."""
    cores = len(os.sched_getaffinity(0))
    count = min(cores, MOST_WORKERS, rows // WORTH_A_WORKER_ROWS)
    return count if count > 1 else 0


class Crew:
    """Processes that read pages; its methods may be called from any thread."""

    def __init__(self, workers: int) -> None:
        self.keys: TermKeys | None = None
        """Of the load that rows are made for."""
        self._workers: list[_Worker] = []
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for _ in range(workers):
            self._workers.append(_started())
            self._idle.put(self._workers[-1])

    def read(self, task: Task, body: bytes) -> ReadPage:
        """Let a process read one page; see `PageWork.read` for what it raises.

        Raises:
            WorkerEnded: the process was killed.
        """
        worker = self._idle.get()
        try:
            return worker.read(task, body, self.keys)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.connection.close()
            with worker.process as process:
                process.kill()


@dataclass
class _Worker:
    process: "subprocess.Popen[bytes]"
    connection: "Connection"
    keys: TermKeys | None = None
    """Those that it was told of."""

    def read(self, task: Task, body: bytes, keys: TermKeys | None) -> ReadPage:
        sys.audit("efo_assets.page_handed_over", self.process.pid)
        try:
            if keys is not self.keys:
                self.connection.send_bytes(msgspec.msgpack.encode(keys))
                self.keys = keys
            self.connection.send_bytes(msgspec.msgpack.encode(task))
            if task.entry is None:
                self.connection.send_bytes(body)
            answer: Answer | Failed = ANSWER.decode(self.connection.recv_bytes())
            if isinstance(answer, Failed):
                raise _raised(answer, task)
            answer.page.rows = {
                name: CopyRows(rows, crc, self.connection.recv_bytes())
                for name, rows, crc in answer.tables
            }
        except (EOFError, ConnectionError):
            raise self._ended() from None
        return answer.page

    def _ended(self) -> Exception:
        """Why the process doesn't answer; all that wait for it ask."""
        code = self.process.wait()
        if code < 0:
            return WorkerEnded(
                f"A process that reads pages was ended by {Signals(-code).name}, perhaps since "
                "memory ran out: nothing was published, and pages that were downloaded are kept; "
                "run again."
            )
        complaint = self.process.stderr.read() if self.process.stderr else b""
        said = complaint.decode(errors="replace")[-3000:]
        return RuntimeError(f"a process that reads pages ended with {code}: {said}")


def _started() -> _Worker:
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(  # noqa: S603  # our own program
            [sys.executable, "-m", "efo_assets.pipeline.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            # Ctrl-C is for the parent, which ends its processes and says what is kept.
            start_new_session=True,
        )
    return _Worker(process, ours)


def _raised(failed: Failed, task: Task) -> Exception:
    """What a process raised."""
    if not failed.kind:
        return RuntimeError(f"a process that reads pages has a defect: {failed.text}")
    if failed.kind == OSError.__name__:
        return OSError(failed.number, failed.text, failed.place or None)
    rooms = (acceptance, payload, errors)
    kind = next(kind for room in rooms if (kind := getattr(room, failed.kind, None)))
    # Past the constructor, which makes the sentence.
    error: Exception = kind.__new__(kind, failed.text)
    if isinstance(error, SmallerPages):
        error.spec, error.size = task.spec, failed.number or 0
    return error
