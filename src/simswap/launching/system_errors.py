"""Errors of the operating system in one line: what failed, where, and what to do."""

import contextlib
import errno
import os
import re
import resource
import socket
import traceback
import urllib.error

from simswap.errors import InputError

LEAST_FILES, WANTED_FILES = 256, 65536

FILES = (
    "too many open files (this process may have {limit}): raise the limit with ulimit -n 4096, or use fewer worker "
    "processes (data.workers, workers, sweep.parallel)"
)
PROCESSES = (
    "the system starts no further process or thread (too many, or too little memory): raise ulimit -u, use fewer "
    "worker processes (data.workers, workers, sweep.parallel), or end other programs"
)
MEMORY = "out of memory: use a smaller batch, fewer worker processes or a smaller data.cache_mb, or end other programs"
SHARED = "/dev/shm"
SHARED_FULL = (
    f"{SHARED} is full{{size}}, in which worker processes hand over their batches and keep their locks: give a "
    "container more (docker run --shm-size=1g, or --ipc=host), use fewer worker processes (data.workers, workers, "
    "sweep.parallel; data.workers=0 and workers=0 need none) or a smaller data.prefetch"
)

BY_NUMBER = {
    errno.EMFILE: FILES,
    errno.ENFILE: "the whole system has too many open files: end other programs, or raise fs.file-max",
    errno.EAGAIN: PROCESSES,  # the error of fork; this project has no non-blocking sockets
    errno.ENOMEM: MEMORY,
    errno.ENOSPC: "no space is left on the disk{at}: free some, or choose another output folder",
    errno.EDQUOT: "your quota of the disk is used up{at}: free some of it, or choose another output folder",
    errno.EFBIG: "the file is larger than the disk or ulimit -f allows{at}: choose another output folder",
    errno.EROFS: "the disk can only be read{at}: choose another output folder",
    errno.EACCES: "permission denied{at}: choose another path, or ask its owner for the right to it",
    errno.EPERM: "permission denied{at}: choose another path, or ask its owner for the right to it",
    errno.ENOENT: "no such file or folder{at}: check the path",
    errno.ENOTDIR: "part of the path is a file and no folder{at}: check the path",
    errno.EISDIR: "it is a folder and no file{at}: check the path",
    errno.EEXIST: "it already exists{at}: choose another path",
    errno.ENOTEMPTY: "the folder is not empty{at}: choose another path",
    errno.ENAMETOOLONG: "the name is too long for this disk{at}: choose a shorter one",
    errno.ELOOP: "links lead in a circle{at}: check the path",
    errno.EINVAL: "the system does not take it{at}: check the path",
    errno.EIO: "the disk or network drive fails{at}: look at the system's log, then run the same command again",
    errno.ESTALE: "the network drive has lost it{at}: run the same command again",
    errno.EBUSY: "another program uses it{at}: wait for its end",
    errno.ENOLCK: "the disk gives no locks{at}: choose an output folder on another disk",
    errno.EADDRINUSE: "the port is taken by another program: set MASTER_PORT to another, or unset it",
    errno.EADDRNOTAVAIL: "the address is not one of this machine: check MASTER_ADDR",
}
CONNECTION_NUMBERS = (
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.ENETDOWN, errno.EHOSTDOWN, errno.ENOTCONN, errno.EPIPE,
)  # fmt: skip
BY_WORDS = (
    # the messages of torch and Python for the same errors, raised as something other than OSError
    (r"[Tt]oo many open files|received 0 items of ancdata", FILES),
    (r"can't start new thread|Resource temporarily unavailable|pthread_create", PROCESSES),
    (r"unable to (write to|mmap|allocate shared memory).*(shm|/torch_)|No space left on device.*/torch_|"
     r"SemLock.*No space left on device", SHARED_FULL),
    (r"No space left on device", BY_NUMBER[errno.ENOSPC]),
    (r"can't allocate memory|Cannot allocate memory|std::bad_alloc", MEMORY),
)  # fmt: skip


def is_shortage(error: OSError) -> bool:
    """Whether there are too many open files, which says nothing about the file that was requested."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def allow_open_files() -> None:
    """Raise this process's limit of open files: data workers pass each tensor as an open file.

    Raises:
        InputError: The highest possible limit is too low to work at all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # the system has a lower limit than it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    if soft != resource.RLIM_INFINITY and soft < LEAST_FILES:
        raise InputError(
            f"a process may have only {soft} open files here, which is too few for worker processes: "
            "raise the limit with ulimit -n 4096 (docker --ulimit nofile=4096)"
        )


def explain_system(error: BaseException) -> str | None:
    """Explain an error of the operating system in one line; None for other errors, which keep their stack trace."""
    if not isinstance(error, OSError):
        return _by_words(error)
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        return explain_system(error.reason)
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    at = f" ({', '.join(names)})" if names else ""
    reason = " ".join(str(error.strerror or error or type(error).__name__).split())
    if isinstance(error, socket.gaierror):
        return f"a machine's name is not known ({reason}): check the address and the network"
    if isinstance(error, ConnectionError | TimeoutError) or error.errno in CONNECTION_NUMBERS:
        return f"the connection failed ({reason}): check the address, and that the other side runs"
    if error.errno == errno.EAGAIN and names:
        return f"another program holds it{at}: wait for its end"
    if error.errno == errno.ENOSPC and not names and _is_of_a_lock(error):
        return shared_is_full()
    if error.errno in BY_NUMBER:
        return _filled(BY_NUMBER[error.errno], at)
    return _by_words(error) or f"{reason}{at}"


def shared_is_full() -> str:
    """The line for a full /dev/shm, with its size."""
    return _filled(SHARED_FULL, "")


def _is_of_a_lock(error: OSError) -> bool:
    """Whether a pool's lock could not be created: those of Python and joblib use /dev/shm, and name no file."""
    steps = traceback.extract_tb(error.__traceback__)
    return any(os.path.basename(step.filename) == "synchronize.py" for step in steps)


def _size_of_shared() -> str:
    try:
        found = os.statvfs(SHARED)
    except OSError:
        return ""
    unit = found.f_frsize / 1e6
    return f" ({found.f_bavail * unit:.0f} of {found.f_blocks * unit:.0f} MB free)"


def _by_words(error: BaseException) -> str | None:
    """Explain an error by its message, also one that a worker process passed on with its stack trace."""
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, EOFError):  # from recvfds: a worker's tensor arrived without its file
        steps = traceback.extract_tb(error.__traceback__)
        return _filled(FILES, "") if any(step.name == "recvfds" for step in steps) else None
    if not isinstance(error, RuntimeError | OSError | ImportError):
        return None
    text = " ".join(str(error).split())
    return next((_filled(line, "") for words, line in BY_WORDS if re.search(words, text)), None)


def _filled(line: str, at: str) -> str:
    limit = str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return line.replace("{at}", at).replace("{limit}", limit).replace("{size}", _size_of_shared())
