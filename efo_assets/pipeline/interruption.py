"""SIGINT and SIGTERM while a coroutine runs: it is cancelled, tidies up, and the caller knows."""

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine; at SIGINT or SIGTERM, cancel it and wait until it has tidied up.

    A handler that raises would do so wherever the loop happens to be, and leave tasks behind. A
    second signal ends the process at once, as SIGKILL would.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    signals: list[int] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(work)

        def interrupt(number: int) -> None:
            if signals:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            signals.append(number)
            task.cancel()

        with ExitStack() as handled, suppress(asyncio.CancelledError):
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGINT, signal.SIGTERM):
                    handled.callback(signal.signal, number, signal.getsignal(number))
                    handled.callback(loop.remove_signal_handler, number)
                    loop.add_signal_handler(number, interrupt, number)
            result = loop.run_until_complete(task)
            # Another turn, for a signal that came in the last one.
            loop.run_until_complete(asyncio.sleep(0))
            if not signals:
                return result
    raise KeyboardInterrupt(f"interrupted by signal {signals}")
