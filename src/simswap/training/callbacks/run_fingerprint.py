"""What lies outside the run's folder and decides its result: is it the same when the run resumes?"""

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

import lightning as L

from simswap.data.datamodule import SwapDataModule
from simswap.errors import InputError
from simswap.models.pose import PoseEstimator
from simswap.models.recognition import Recognizer
from simswap.training.loss_recognition import GROUP, LossRecognizer

log = logging.getLogger(__name__)


class RunFingerprint(L.Callback):
    """Stores hashes of the crops and frozen networks in the checkpoint, and compares them when the run resumes.

    Paths may change, the content may not.

    Raises:
        InputError: the content differs; with ``allow_others`` the log reports it instead.
    """

    def __init__(
        self,
        data: SwapDataModule,
        recognizer: Recognizer,
        judge: Recognizer | None,
        pose: PoseEstimator,
        allow_others: bool,
        loss_recognizers: Mapping[str, LossRecognizer] | None = None,
    ) -> None:
        self.allow_others = allow_others
        networks = {"recognition": recognizer, "judge": judge, "pose": pose}
        self.words = {group: network.name if network else "none" for group, network in networks.items()}
        self.words["data"] = f"{len(data.manifest)} crops of {len(data.manifest.person_names)} persons"
        self.hashes = {group: network.sha256 if network else "none" for group, network in networks.items()}
        self.hashes["data"] = data.manifest.rows_sha256()
        self.words[GROUP], self.hashes[GROUP] = _of_loss(loss_recognizers or {})

    def state_dict(self) -> dict[str, Any]:
        """Hashes and descriptions."""
        return {"hashes": self.hashes, "words": self.words}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare with the hashes of the checkpoint.

        Raises:
            InputError: see the class.
        """
        before, words = state_dict["hashes"], state_dict["words"]
        before, words = {GROUP: "none"} | before, {GROUP: "none"} | words  # what earlier checkpoints lack
        others = [group for group, value in self.hashes.items() if before.get(group, value) != value]
        if not others:
            return
        differ = "; ".join(
            f"{group} was {words[group]} ({before[group][:8]}…) and is {self.words[group]} ({self.hashes[group][:8]}…)"
            for group in others
        )
        if not self.allow_others:
            raise InputError(f"the run cannot resume unchanged: {differ}; use the same, or set resume_overrides=allow")
        log.warning("the run resumes with other data or networks: %s", differ)


def _of_loss(recognizers: Mapping[str, LossRecognizer]) -> tuple[str, str]:
    """The recognizers of the identity loss in words, and a SHA-256 of their hashes; ``none`` without any."""
    if not recognizers:
        return "none", "none"
    found = {name: one.recognizer.sha256 if one.recognizer else "recognition's" for name, one in recognizers.items()}
    words = ", ".join(f"{name} {value[:8]}" for name, value in sorted(found.items()))
    return words, hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()
