"""A file opened for reading, somewhere below a directory and never outside of it.

Names are opened one after the other, each from its directory and without following links, so nothing leads out,
whatever happens on the disk meanwhile. Only a link in the last place is looked at: where it leads is taken as another
place, and opened in the same way. So a link leads to a file below the same directory, or to nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from tqsd.proxy.wanted import Place, is_served

_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a FIFO must not block
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Among sources a directory with one of these is another page, but for those that are never pages (site.py)
_PAGES: Final = (b"page.yaml", b"main.go", b"app.py")
_NEVER_PAGES: Final = frozenset([b"testdata", b"vendor", b"internal", b"cmd"])


class Opened:
    """A file or a directory, and its status when it was opened. Whoever has it closes it."""

    __slots__ = ("fd", "is_file", "status")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.status = os.fstat(fd)
        self.is_file = stat.S_ISREG(self.status.st_mode)

    def close(self) -> None:
        os.close(self.fd)


def open_below(root: bytes, place: Place, sources: bool) -> Opened:
    """Open the regular file or directory at `place`. Raises OSError, also for what else is there.

    `sources`: it is a page's directory in the site, where other pages may lie in it; not a release.
    """
    try:
        fd = _walk(root, place, sources)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        opened = Opened(_walk(*_led_to(root, place), sources))
        if opened.is_file:
            return opened
        opened.close()
        raise _nothing("a link to no file") from None
    opened = Opened(fd)
    if opened.is_file:
        return opened
    if stat.S_ISDIR(opened.status.st_mode) and not (sources and _is_page(fd, place[-1])):
        return opened
    opened.close()
    raise _nothing("neither a file nor a directory of this page")


def _walk(root: bytes, place: Place, sources: bool) -> int:
    if len(place) == 1:
        return os.open(root + b"/" + place[0], _FILE)
    directory = os.open(root + b"/" + place[0], _DIRECTORY)
    last = len(place) - 1
    try:
        for depth in range(1, last):
            if sources and _is_page(directory, place[depth - 1]):
                raise _nothing("another page")
            inner = os.open(place[depth], _DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = inner
        if sources and _is_page(directory, place[last - 1]):
            raise _nothing("another page")
        return os.open(place[last], _FILE, dir_fd=directory)
    finally:
        os.close(directory)


def _is_page(directory: int, name: bytes) -> bool:
    if name in _NEVER_PAGES or name.startswith((b".", b"_")):
        return False
    return any(os.access(mark, os.F_OK, dir_fd=directory) for mark in _PAGES)


def _led_to(root: bytes, place: Place) -> tuple[bytes, Place]:
    """The place that a link leads to. It may change before it is opened, so this decides nothing."""
    root = os.path.realpath(root)
    real = os.path.realpath(b"/".join((root, *place)), strict=True)
    place = tuple(real.removeprefix(root + b"/").split(b"/"))
    if not real.startswith(root + b"/") or not is_served(place):
        raise _nothing("a link to what is not served")
    return root, place


def _nothing(why: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, why)
