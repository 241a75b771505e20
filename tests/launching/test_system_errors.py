"""What the system refuses is said in one line that names it: each kind as the system itself raises it."""

import errno
import os
import socket
import subprocess
import sys
import urllib.error

import pytest

from simswap.launching.jobs import ERROR_FILE, note_failure, noted
from simswap.launching.system_errors import explain_system


def refused(action) -> BaseException:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        action()
    return caught.value


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.EAGAIN, "the system starts no further process or thread (too many, or too little memory)"),
        (errno.ENOMEM, "out of memory: use a smaller batch"),
        (errno.ENFILE, "the whole system has too many open files"),
        (errno.ENOSPC, "no space is left on the disk: free some"),
        (errno.EDQUOT, "your quota of the disk is used up"),
        (errno.EROFS, "the disk can only be read: choose another output folder"),
        (errno.EIO, "the disk or network drive fails"),
        (errno.ESTALE, "the network drive has lost it"),
        (errno.ECONNREFUSED, "the connection failed (Connection refused)"),
        (errno.ECONNRESET, "the connection failed (Connection reset by peer)"),
        (errno.ETIMEDOUT, "the connection failed (Connection timed out)"),
        (errno.EHOSTUNREACH, "the connection failed (No route to host)"),
    ],
)
def test_numbers(number, line):
    assert explain_system(OSError(number, os.strerror(number))).startswith(line)


def test_paths_are_named(tmp_path):
    folder, file = tmp_path / "{a}", tmp_path / "file"
    folder.mkdir()
    file.write_text("")
    assert explain_system(refused(lambda: (tmp_path / "none").read_bytes())) == (
        f"no such file or folder ({tmp_path / 'none'}): check the path"
    )
    assert explain_system(refused(folder.read_bytes)) == f"it is a folder and no file ({folder}): check the path"
    assert explain_system(refused((file / "x").read_bytes)).startswith("part of the path is a file and no folder (")
    assert explain_system(refused(lambda: folder.mkdir())).startswith(f"it already exists ({folder})")
    assert explain_system(refused(lambda: (tmp_path / ("x" * 300)).mkdir())).startswith("the name is too long")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert explain_system(refused(lambda: (tmp_path / "loop").read_bytes())).startswith("links lead in a circle (")
    denied = PermissionError(errno.EACCES, "Permission denied", "/root/x")
    assert explain_system(denied).startswith("permission denied (/root/x): choose another path")
    full = OSError(errno.ENOSPC, "No space left on device", "/data/{x}/y")
    assert explain_system(full) == (
        "no space is left on the disk (/data/{x}/y): free some, or choose another output folder"
    )


def test_connections():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert explain_system(refused(lambda: socket.create_server(("127.0.0.1", port)))).startswith(
            "the port is taken by another program: set MASTER_PORT"
        )
    assert explain_system(refused(lambda: socket.create_connection(("127.0.0.1", port)))).startswith(
        "the connection failed (Connection refused)"
    )
    assert explain_system(socket.gaierror(socket.EAI_NONAME, "Name or service not known")).startswith(
        "a machine's name is not known (Name or service not known)"
    )
    assert explain_system(TimeoutError("timed out")).startswith("the connection failed (timed out)")
    inner = urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
    assert explain_system(inner).startswith("the connection failed (Connection refused)")


def test_words_of_torch_and_python():
    for text in (
        "unable to open shared memory object </torch_1_2> in read-write mode: Too many open files (24)",
        "received 0 items of ancdata",
        "Caught OSError in DataLoader worker process 0.\nTraceback …\nOSError: Too many open files",
    ):
        assert explain_system(RuntimeError(text)).startswith("too many open files (this process may have ")
    assert explain_system(RuntimeError("can't start new thread")).startswith("the system starts no further process")
    assert explain_system(MemoryError()).startswith("out of memory")
    shared = RuntimeError("unable to write to file </torch_6_1>: No space left on device (28) /torch_6_1")
    assert "/dev/shm" in explain_system(shared)
    lock = RuntimeError("self._semlock = _SemLock(kind, value): OSError: [Errno 28] No space left on device")
    assert explain_system(lock).startswith("/dev/shm is full (")
    for fault in (RuntimeError("shape mismatch"), ValueError("Too many open files"), KeyError("x")):
        assert explain_system(fault) is None


def test_too_many_files_are_no_fault_of_a_picture(tmp_path):
    script = f"""
import errno, resource
from simswap.data.reading import read_image
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
held = []
try:
    while True:
        held.append(open({str(tmp_path)!r} + "/x", "w"))
except OSError as error:
    assert error.errno == errno.EMFILE
try:
    read_image({str(tmp_path / "x")!r})
except OSError as error:
    print(error.errno == errno.EMFILE)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True\n", done.stderr


def test_a_job_of_a_sweep_notes_it_without_a_stack_trace(tmp_path, capsys):
    try:
        note_failure(tmp_path, refused(lambda: (tmp_path / "none").read_bytes()))
        note = (tmp_path / ERROR_FILE).read_text()
    finally:
        noted.clear()
    assert note == f"no such file or folder ({tmp_path / 'none'}): check the path\n"
    assert "stack trace" not in capsys.readouterr().err


FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
sys.argv = ["simswap", *{arguments}]
from simswap.{door} import main
main()
"""


@pytest.mark.parametrize(
    ("door", "arguments"),
    [("train", ["data.root=/none"]), ("train", ["-m", "seed=0,1"]), ("prepare", ["raw=/none", "out=/none/out"]),
     ("evaluate", ["checkpoint=/none"])],
)  # fmt: skip
def test_64_files_are_refused_in_one_line(door, arguments, tmp_path):
    script = FEW_FILES.format(soft=64, hard=64, door=door, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: a process may have only 64 open files here, which is too few for worker processes: "
        "raise the limit with ulimit -n 4096 (docker --ulimit nofile=4096)\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_low_limit_that_may_be_raised_is_raised(tmp_path):
    script = FEW_FILES.format(soft=64, hard=1000, door="evaluate", arguments=["checkpoint=/none"])
    script = script.replace("main()", "try: main()\nfinally: print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.stdout == "1000\n"
    assert "/none" in done.stderr  # and not the limit


def test_a_tensor_that_came_without_its_file():
    import multiprocessing.reduction

    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, pytest.raises(EOFError) as caught:
        multiprocessing.reduction.recvfds(ours, 1)
    assert explain_system(caught.value).startswith("too many open files")
    assert explain_system(EOFError()) is None
