"""Dagster's commands in processes of their own, as people type them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 120

Done = subprocess.CompletedProcess[str]


def started(*words: str, **environment: str) -> "subprocess.Popen[str]":
    """`dagster …` or `dg …`, begun; its output can be read from `stdout`."""
    program = Path(sys.executable).with_name(words[0])
    return subprocess.Popen(
        [str(program), *words[1:]],
        cwd=ROOT,
        env={**os.environ, "DAGSTER_MODULE_NAME": "efo_assets.definitions", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> Done:
    """Wait for the end; give exit code and output."""
    with process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Done(process.args, process.returncode, output)


def dagster(*words: str, **environment: str) -> Done:
    """`dagster asset materialize …` to its end."""
    return ended(started("dagster", "asset", "materialize", *words, **environment))


def assert_one_sentence(done: Done, *said: str) -> None:
    """The command failed, said these words, and showed no frame of anybody's code."""
    assert done.returncode != 0
    for each in said:
        assert each in done.stdout, done.stdout[-3000:]
    assert 'File "' not in done.stdout, done.stdout[-3000:]
    assert "never awaited" not in done.stdout
    assert "was destroyed" not in done.stdout


def free_port() -> int:
    """A port of the loopback that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
