"""``simswap-app``: a local page to try swaps and to look at runs."""

import logging
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from simswap.app.examples import ExampleFinder, photo_examples, rendered_examples
from simswap.app.guard import Limits
from simswap.app.library import server
from simswap.app.networks import Networks, Settings
from simswap.app.page import page
from simswap.app.run_folders import RunFolders
from simswap.app.shelf import Shelf
from simswap.app.state import AppState
from simswap.config import OF_TRAINING, build, build_optional
from simswap.errors import InputError
from simswap.faces.paste import PasteSettings
from simswap.inference.finding import PhotoFaceFinder
from simswap.launching.devices import choose_device
from simswap.launching.front_door import front_door
from simswap.launching.stops import last_words
from simswap.models.recorded import judge_of, pose_of
from simswap.wandb_files import local_file

HOST = "127.0.0.1"
ENDING_S = 2  # how long open connections may take when the page ends


def serve(cfg: DictConfig) -> None:
    """Serve the page by a checked config, until Ctrl-C."""
    uvicorn = server()
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    with bound(cfg.port) as listener:
        port = listener.getsockname()[1]
        shelf = Shelf(60 * cfg.uploads.minutes)

        def forgetting(hint: str | None) -> str | None:
            shelf.close()
            return hint

        try:
            application = page(state_of(cfg, shelf), port, limits_of(cfg))
            settings = uvicorn.Config(
                application, log_level="warning", access_log=False, timeout_graceful_shutdown=ENDING_S, ws="none"
            )
            with last_words(forgetting):
                run(uvicorn.Server(settings), listener, shelf)
        finally:
            shelf.close()


def state_of(cfg: DictConfig, shelf: Shelf) -> AppState:
    """What the tabs get.

    Raises:
        InputError: The checkpoint, a network or the folder of runs cannot be used.
    """
    runs = RunFolders(Path(cfg.runs)) if cfg.runs else None
    folder = shelf.folder / "examples"
    folder.mkdir()
    examples = rendered_examples(folder)
    detector = build_optional(cfg.detector)
    networks = Networks(
        Path(local_file(cfg.checkpoint)),
        Settings(
            ExampleFinder(examples, PhotoFaceFinder(detector) if detector is not None else None),
            lambda config: (
                of_training(judge_of, config, "judge=dlib") if cfg.judge == OF_TRAINING else build_optional(cfg.judge)
            ),
            lambda config: of_training(pose_of, config, "pose=dlib68") if cfg.pose == OF_TRAINING else build(cfg.pose),
            cfg.recognition.path,
            cfg.min_face,
            cfg.batch_size,
            choose_device(cfg.device),
            PasteSettings(**cfg.paste),
        ),
    )
    photos = photo_examples(folder) if detector is not None else []
    return AppState(networks, shelf, runs, (*examples, *photos), cfg.uploads.video_seconds)


def of_training(make: Callable[[Mapping[str, Any]], Any], config: Mapping[str, Any], hint: str) -> Any:
    """A network that a checkpoint's config names; raises InputError where its file is not on this machine."""
    try:
        return make(config)
    except InputError as error:
        raise InputError(f"of the checkpoint's training: {error}; or choose another, as in {hint}") from error


def limits_of(cfg: DictConfig) -> Limits:
    """The limits of uploads."""
    return Limits(int(1e6 * cfg.uploads.file_mb), cfg.uploads.files, int(1e6 * cfg.uploads.all_mb))


def bound(port: int) -> socket.socket:
    """A listening socket on 127.0.0.1 alone.

    Raises:
        InputError: Another program has the port.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)  # now: whoever asks before the page is ready waits, and is not refused
    except OSError as error:
        listener.close()
        raise InputError(f"port={port} cannot be opened ({error.strerror}); choose another, or port=0") from error
    return listener


def run(site: Any, listener: socket.socket, shelf: Shelf) -> None:
    """Serve in a thread until Ctrl-C or a signal; old files are deleted meanwhile.

    Raises:
        InputError: The server ended by itself.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # connections that the end breaks off
    thread = threading.Thread(target=site.run, kwargs={"sockets": [listener]}, daemon=True, name="page")
    thread.start()
    print(f"the page: http://{HOST}:{listener.getsockname()[1]}   (Ctrl-C ends it)", flush=True)
    try:
        while thread.is_alive():
            thread.join(30)
            shelf.tidy()
        raise InputError("the page's server has ended by itself; the lines above say why")
    except KeyboardInterrupt:
        site.should_exit = True
        thread.join(ENDING_S + 1)
        print("the page has ended, and its temporary files are deleted")


def main() -> None:
    """The entry point of ``simswap-app``."""
    front_door(serve, "app")


if __name__ == "__main__":
    main()
