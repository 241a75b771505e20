"""The recognizers of the identity loss, where they are not the one that the generator is conditioned on alone.

A swap needs the conditioning's recognizer only, so checkpoints describe the others by name and hash and do not hold
them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from simswap import pixels
from simswap.config import build
from simswap.data.batches import LOSS_IDENTITY
from simswap.errors import InputError
from simswap.losses.terms import Recognized
from simswap.models.embedder import Embedder
from simswap.models.recognition import Recognizer
from simswap.training.phase import MicroBatch

GROUP = "loss_recognition"


class LossRecognizer(NamedTuple):
    """A recognizer of the identity loss, or None for the conditioning's, and its weight among the others."""

    recognizer: Recognizer | None
    weight: float


def check_loss_recognition(node: Any) -> None:
    """Check what keys, targets and ranges do not tell.

    Args:
        node: The value of ``loss_recognition`` in a composed configuration.

    Raises:
        InputError: It is no mapping, holds no recognizer, or an entry has no plain name.
    """
    if node is None:
        return
    if not isinstance(node, DictConfig):
        given = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
        raise InputError(
            f"{GROUP} is {given!r}: choose members of the group, as in {GROUP}=[conditioning,builtin], or give named "
            "entries, each with a _target_ and a weight"
        )
    if not any(entry is not None for entry in node.values()):
        raise InputError(f"{GROUP} holds no recognizer: add one, or set {GROUP}=none for recognition's alone")
    for name in node:
        if not re.fullmatch(r"\w+", str(name)):
            raise InputError(f"{GROUP} has an entry {name!r}: take letters, digits and _ for its name in the logs")


def build_loss_recognizers(node: DictConfig | None) -> dict[str, LossRecognizer]:
    """Build the entries of a checked ``loss_recognition``; empty for null.

    Raises:
        InputError: A recognizer's file is missing or not usable.
    """
    made = {}
    for name, entry in (node or {}).items():
        if entry is None:
            continue
        recognizer = OmegaConf.create({key: value for key, value in entry.items() if key != "weight"})
        built = None if entry._target_ is None else build(recognizer)
        made[str(name)] = LossRecognizer(built, float(entry.get("weight", 1.0)))
    return made


class LossRecognition:
    """Embeds swaps and sources for the identity loss, each recognizer by itself.

    Args:
        recognizers: Name → recognizer and weight; empty for a loss by the conditioning's recognizer alone.
        conditioning: The embedder of the sources whose embeddings the generator gets.

    Raises:
        InputError: Two entries are the same network.
    """

    def __init__(self, recognizers: Mapping[str, LossRecognizer], conditioning: Embedder) -> None:
        template, size = conditioning.view.template, conditioning.view.crop_size
        self.weights = {name: one.weight for name, one in recognizers.items()}
        self.embedders: dict[str, Embedder] = {}
        """The embedders in fp32, which compute the tables of embeddings."""
        self._conditioning, seen = conditioning, dict[str, str]()
        for name, (recognizer, _) in recognizers.items():
            found = conditioning.recognizer if recognizer is None else recognizer
            if found.weights_sha256 in seen:
                raise InputError(
                    f"{GROUP}.{name} is the same network as {GROUP}.{seen[found.weights_sha256]} ({found.name}); give "
                    "it once, with a larger weight"
                )
            seen[found.weights_sha256] = name
            same = found.sha256 == conditioning.recognizer.sha256
            self.embedders[name] = conditioning if same else Embedder(found, template, size)
        self._training = dict(self.embedders)

    @property
    def uses_conditioning(self) -> bool:
        """Whether the conditioning's recognizer is part of the loss."""
        return not self.embedders or self._conditioning in self.embedders.values()

    def others(self) -> dict[str, Embedder]:
        """The embedders apart from the conditioning's."""
        return {name: one for name, one in self.embedders.items() if one is not self._conditioning}

    def described(self) -> dict[str, Any]:
        """What a checkpoint keeps: ``loss_recognizers``, name → name, hash and weight; empty without any."""
        entries = {
            name: {
                "name": one.recognizer.name,
                "sha256": one.recognizer.sha256,
                "weights_sha256": one.recognizer.weights_sha256,
                "weight": self.weights[name],
            }
            for name, one in self.embedders.items()
        }
        return {"loss_recognizers": entries} if entries else {}

    def words(self, judge: Recognizer | None) -> str:
        """What the log's first line adds; empty for a loss by the conditioning's recognizer alone."""
        if not self.embedders:
            return ""
        entries = ", ".join(f"{one.recognizer.name} ({self.weights[name]:g})" for name, one in self.embedders.items())
        networks = {one.recognizer.weights_sha256 for one in self.embedders.values()}
        judged = judge and judge.weights_sha256 in networks
        flattering = f"; the judge, {judge.name}, is one of them and flatters the results" if judge and judged else ""
        return f"; identity loss by {entries}{flattering}"

    def prepare(self, device: torch.device, training_form: Callable[[Embedder], Embedder]) -> None:
        """Move all recognizers to the device, and choose the form in which they train (`training_embedder`)."""
        for name, embedder in self.others().items():
            self._training[name] = training_form(embedder.to(device))

    def double(self) -> None:
        """Convert all recognizers to double precision, for a training in it."""
        for embedder in self.embedders.values():
            embedder.double()

    def see(
        self,
        result: Tensor,
        to_unit: Callable[[Tensor], Tensor],
        embed: Callable[[Tensor], Tensor],
        micro_batch: MicroBatch,
    ) -> tuple[Any, dict[str, Recognized]]:
        """The conditioning's embeddings of the swaps, and what each recognizer of the loss sees.

        Args:
            result: The swaps, [B, 3, S, S] in the generator's range.
            to_unit: From that range to the unit range.
            embed: Images in the generator's range → embeddings by the conditioning's recognizer.
            micro_batch: With the sources, as images or as embeddings.

        Returns:
            The conditioning's embeddings [B, E], or a function that computes them if the loss does not need them; and
            `Recognized` by name, empty for a loss by the conditioning's recognizer alone.
        """

        def embedded() -> Tensor:  # also where the first term to read it has no weight
            with torch.enable_grad():
                return embed(result)

        own: Any = embed(result) if self.uses_conditioning else embedded
        batch, images, found = micro_batch.batch, to_unit(result), {}
        for name, weight in self.weights.items():
            if self.embedders[name] is self._conditioning:
                found[name] = Recognized(own, micro_batch.identity, weight)
                continue
            seen = self._training[name](images, batch["target_view"])
            found[name] = Recognized(seen, self._source(name, batch, images.dtype).to(seen.dtype), weight)
        return own, found

    def _source(self, name: str, batch: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
        """A recognizer's embeddings of the sources [B, E]: from the batch if it has them, else computed."""
        table = batch.get(f"{LOSS_IDENTITY}{name}")
        if table is not None:
            return table
        return self._training[name].identity(pixels.from_uint8(batch["source"], "unit", dtype), batch["source_view"])
