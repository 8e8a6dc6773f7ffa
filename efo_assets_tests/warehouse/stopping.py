"""Ending a PostgreSQL server as somebody else might."""

import signal

import psutil
import psycopg


def stop_server(connection: psycopg.Connection) -> None:
    """Stop the server of a connection at once, and wait until it has ended."""
    postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster is not None
    postmaster.send_signal(signal.SIGQUIT)
    postmaster.wait(60)
