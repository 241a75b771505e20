"""What lies outside of a run's folder and decides what it becomes: is it the same when the run goes on?"""

import hashlib
import logging
from typing import Any

import lightning as L

from simswap.data.datamodule import SwapDataModule
from simswap.errors import InputError
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer

log = logging.getLogger(__name__)


class RunFingerprint(L.Callback):
    """Keeps in the checkpoint which crops and frozen networks the run has, by hash, and compares when it goes on.

    Paths may change, what lies there may not: raises InputError, or with ``allow_others`` says it in the log.
    """

    def __init__(
        self,
        data: SwapDataModule,
        recognizer: Recognizer,
        judge: Recognizer | None,
        pose: PoseEstimator,
        allow_others: bool,
    ) -> None:
        self.allow_others = allow_others
        networks = {"recognition": recognizer, "judge": judge, "pose": pose}
        self.words = {group: network.name if network else "none" for group, network in networks.items()}
        self.words["data"] = f"{len(data.manifest)} crops of {len(data.manifest.person_names)} persons"
        self.hashes = {group: network.sha256 if network else "none" for group, network in networks.items()}
        self.hashes["data"] = _of_data(data)

    def state_dict(self) -> dict[str, Any]:
        return {"hashes": self.hashes, "words": self.words}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        before, words = state_dict["hashes"], state_dict["words"]
        others = [group for group, value in self.hashes.items() if before.get(group, value) != value]
        if not others:
            return
        differ = "; ".join(
            f"{group} was {words[group]} ({before[group][:8]}…) and is {self.words[group]} ({self.hashes[group][:8]}…)"
            for group in others
        )
        if not self.allow_others:
            raise InputError(f"the run cannot go on as it was: {differ}; give the same, or say resume_overrides=allow")
        log.warning("the run goes on in other surroundings: %s", differ)


def _of_data(data: SwapDataModule) -> str:
    """SHA-256 of what the pairs are drawn by: the persons' names, and each row's person and view."""
    manifest = data.manifest
    digest = hashlib.sha256("\n".join(manifest.person_names).encode())
    digest.update(manifest.person.tobytes())
    digest.update(manifest.view.tobytes())
    return digest.hexdigest()
