"""Files that survive a loss of power, and that no symbolic link can lead elsewhere.

A file gets its name once its bytes are on the disk, and the name is on the disk before anything
relies on it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""Of what is made here, whatever the umask; what is there already keeps its own."""


def open_nofollow(path: Path, mode: str) -> IO[bytes]:
    """Open a file that is no symbolic link; the mode is that of `open`."""
    return open(path, mode, opener=_no_symlink)  # as `open` does


def _no_symlink(path: str, flags: int) -> int:
    flags |= os.O_NOFOLLOW
    if flags & os.O_CREAT:
        with nullcontext() if flags & os.O_EXCL else suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_EXCL, FILE_MODE)
            os.fchmod(descriptor, FILE_MODE)
            return descriptor
    return os.open(path, flags, FILE_MODE)


def write_whole(path: Path, body: bytes) -> None:
    """Write a file that gets its name once its bytes are on the disk."""
    with whole(path) as file:
        file.write(body)


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that gets its name when all is written and on the disk, or never."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        with open_nofollow(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)
    sync_folder(path.parent)


def point(link: Path, target: str) -> None:
    """Make a symbolic link to a name beside it, or let one that is there lead to it from now on."""
    temporary = link.with_name(f".{link.name}.part")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_folder(link.parent)


def write_all(descriptor: int, data: bytes) -> None:
    """Write until nothing is left; one call may take a part only."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def make_folder(folder: Path, mode: int = FOLDER_MODE) -> None:
    """Make a folder and those above it, all on the disk: a file is as durable as its path."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):  # another process was first
            each.mkdir(mode)
            each.chmod(mode if each == folder else FOLDER_MODE)
        sync_folder(each.parent)
    folder.mkdir(exist_ok=True)  # raises where it is no folder


def size_bytes(folder: Path) -> int:
    """The size of all that is in a folder; 0 if it isn't there."""
    total = 0
    for each in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += each.lstat().st_size
    return total


def sync_folder(path: Path) -> None:
    """Flush a folder, so that the names in it are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drop_unfinished_line(manifest: Path) -> None:
    """Cut what a writer that died left after the last whole line."""
    # Cut by its descriptor: a name may lead elsewhere by then.
    with suppress(FileNotFoundError), open_nofollow(manifest, "rb+") as file:
        text = file.read()
        whole_bytes = text.rfind(b"\n") + 1
        if whole_bytes < len(text):
            file.truncate(whole_bytes)
