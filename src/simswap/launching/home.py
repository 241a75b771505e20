"""A home folder for the libraries' caches, where the user has none that can be written (``docker run -u 12345``)."""

import getpass
import os
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

CACHES = {
    # what libraries write below the home folder, and the variable that sends it elsewhere
    "XDG_CACHE_HOME": "cache", "XDG_DATA_HOME": "data", "MPLCONFIGDIR": "matplotlib", "CUDA_CACHE_PATH": "cuda",
    "TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
}  # fmt: skip


def settle_home(environ: MutableMapping[str, str] = os.environ) -> str | None:
    """Make W&B, matplotlib, torch and others work without a home folder or a name; one line on it where it was needed.

    A home that is there and can only be read keeps its settings and logins; what is written goes elsewhere.
    """
    _settle_name(environ)
    home = environ.get("HOME") or _home_of_user()
    there = bool(home) and os.path.isdir(home)
    if there and os.access(home, os.W_OK | os.X_OK):
        return None
    try:
        folder = _own_folder()
    except OSError:
        return None  # nothing can be written at all: whoever tries says so
    if not there:
        environ["HOME"] = str(folder)
    for name, below in CACHES.items():
        if not environ.get(name):
            environ[name] = str(folder / below)
    return f"no home folder that can be written ({home or 'none at all'}): caches go to {folder}"


def _settle_name(environ: MutableMapping[str, str]) -> None:
    if any(environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        return
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # the number has no name
        environ["LOGNAME"] = f"user{os.getuid()}"


def _home_of_user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _own_folder() -> Path:
    """The same for all processes of this user, and nobody else's."""
    folder = Path(tempfile.gettempdir()) / f"simswap-home-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        return Path(tempfile.mkdtemp(prefix="simswap-home-"))  # somebody else made it first
    return folder


NO_HOME = settle_home()
"""What front doors print where the user has no home folder; None where there is one."""
