"""How the processes of a run connect: rank 0 has a store (torch's TCPStore), and the others find it.

Under torchrun the store is torchrun's. For ranks that this package starts, it is in the process that starts them.
Otherwise the system chooses the store's port, and rank 0 announces it at an address and port that all ranks know:
MASTER_ADDR and MASTER_PORT, or those of the Slurm or MPI job. A port that is taken is skipped.
"""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simswap.errors import InputError
from simswap.launching import ranks
from simswap.launching.ranks import Ranks

if TYPE_CHECKING:
    from torch.distributed import Store, TCPStore

START_SECONDS = 600.0
"""How long a rank waits for rank 0 to start: nodes load the program at very different speeds."""
ANSWER_SECONDS = 5.0
PATIENCE = timedelta(hours=24)


def own_store() -> "TCPStore":
    """The store for ranks that this process starts on this machine, at MASTER_PORT if set, else at any free port.

    Raises:
        InputError: MASTER_PORT is taken.
    """
    port = ranks.main_ports(Ranks("simswap", 0, 2))[0] if os.environ.get("MASTER_PORT") else 0
    if port:
        _listen(port).close()  # torch reports it in many lines
    return _store("127.0.0.1", port, first=True)


def join(backend: str, timeout: timedelta | None, **options: Any) -> None:
    """Create torch's process group of all ranks of this run, unless it exists."""
    import torch.distributed

    if torch.distributed.is_initialized():
        return
    store: torch.distributed.Store | None = None  # torch finds torchrun's own, which handles its restarts
    place = ranks.from_environment()
    if place is None:
        place, store = Ranks("alone", 0, 1), torch.distributed.HashStore()
    elif place.starter != "torchrun":
        store = torch.distributed.PrefixStore("group", meet(place))
    torch.distributed.init_process_group(
        backend, store=store, rank=place.rank, world_size=place.world_size, timeout=timeout, **options
    )


def word_of_rank_0(place: Ranks, propose: Callable[[], str]) -> str:
    """Return what rank 0 proposes, on all ranks. Raises InputError if the store does not answer."""
    key = f"simswap/{os.environ.get('TORCHELASTIC_RUN_ID', 'run')}/folder"
    try:
        store = meet(place)
        if place.rank == 0 and not store.check([key]):  # after a restart by torchrun the name is still there
            store.set(key, propose())
        return store.get(key).decode()  # waits for rank 0
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(
            f"rank {place.rank} cannot ask {place.starter}'s store for the run folder ({error}); give it "
            "as hydra.run.dir=…"
        ) from error


def meet(place: Ranks) -> "Store":
    """Connect this process to the store of its run. Every rank must call this, at any time.

    Raises:
        InputError: Another program has the port, or rank 0 does not start.
    """
    ports = tuple(ranks.main_ports(place))
    return _meet(place, ranks.main_address(place), ports, ranks.job_of(place) or "run")


@lru_cache
def _meet(place: Ranks, address: str, ports: tuple[int, ...], job: str) -> "Store":
    if place.starter in ("torchrun", "simswap"):
        return _store(address, ports[0], first=False)
    name = f"simswap {job} {place.world_size}"
    if place.rank == 0:
        server, store = _listen(*ports), _store("127.0.0.1", 0, first=True)
        _announce(server, f"{name} {store.port}\n".encode())
        return store
    return _store(address, _asked(place, address, ports, name), first=False)


def _store(address: str, port: int, first: bool) -> "TCPStore":
    from torch.distributed import TCPStore

    return TCPStore(
        address,
        port,
        is_master=first,
        wait_for_workers=False,
        timeout=PATIENCE if first else timedelta(seconds=START_SECONDS),
    )


def _listen(*ports: int) -> socket.socket:
    """A socket that listens at the first free one of these ports."""
    for port in ports:
        try:
            return _server(port)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            reason = "is taken by another program" if error.errno == errno.EADDRINUSE else "is not allowed"
    names = ", ".join(map(str, ports))
    if len(ports) == 1:
        raise InputError(f"MASTER_PORT={names} {reason} on {socket.gethostname()}: set another, or unset it")
    raise InputError(f"the ports {names} are taken on {socket.gethostname()}: set MASTER_PORT to one that is free")


def _server(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=128, dualstack_ipv6=True)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise  # otherwise the machine has no IPv6 after all
    return socket.create_server(("", port), backlog=128)


def _announce(server: socket.socket, line: bytes) -> None:
    def answer() -> None:
        while True:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(line)
            except OSError:
                time.sleep(0.1)  # the client is gone, or there are too many open files at the moment

    threading.Thread(target=answer, name="simswap-meeting", daemon=True).start()


def _asked(place: Ranks, address: str, ports: tuple[int, ...], name: str) -> int:
    """The port of rank 0's store."""
    deadline, last = time.monotonic() + START_SECONDS, "nobody answered"
    while time.monotonic() < deadline:
        for port in ports:
            try:
                with socket.create_connection((address, port), timeout=ANSWER_SECONDS) as connection:
                    said = connection.makefile("rb").readline(200).decode("utf-8", "replace").strip()
            except OSError as error:
                last = str(error)
                continue
            if said.rpartition(" ")[0] == name:
                return int(said.rpartition(" ")[2])
            last = f"another program listens at port {port}"
        time.sleep(0.2)
    raise InputError(
        f"rank {place.rank} of {place.world_size} waited {START_SECONDS:.0f} s for rank 0 at {address}, "
        f"port {' or '.join(map(str, ports))} ({last}): did it start? MASTER_ADDR and MASTER_PORT say "
        "where it is looked for"
    )
