"""The LightningModule: which phase does what with the generator, the discriminators and the objective.

One iteration = one discriminator step + one generator step = one ``global_step``.
"""

from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer

from simswap import pixels
from simswap.checkpoint import KEY, describe
from simswap.data.pairs import random_words, unit
from simswap.losses.objective import Objective
from simswap.measuring import Faces, swap_faces
from simswap.models.discriminator import Discriminators
from simswap.models.embedder import Embedder
from simswap.models.generator import Generator
from simswap.training.optimization import OptimizerSettings, averaged_copy, update_average
from simswap.training.validation import Validation

MIX_PURPOSE = 0x6D6978  # "mix": its own stream of random numbers, apart from that of the pairs


class SimSwapModule(L.LightningModule):
    """Generator and discriminators with their optimisers, the frozen embedder beside them.

    embedder: crops → identity of the recogniser trained with; frozen, no part of the state dict.
    validation: measures the averaged generator on unseen persons. average_decay: of the generator's moving average.
    seed: of the gradient penalty's mixing. config: the whole composed config, plain values, kept in the checkpoint.
    Raises InputError where picture size, networks and objective do not fit each other.
    """

    def __init__(
        self,
        generator: Generator,
        discriminators: Discriminators,
        embedder: Embedder,
        objective: Objective,
        optimizer: OptimizerSettings,
        validation: Validation,
        average_decay: float,
        seed: int,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        generator.check_size(embedder.view.crop_size)
        objective.check_layers(discriminators.layer_count)
        self.generator, self.discriminators = generator, discriminators
        self.ema = averaged_copy(generator)
        # In a tuple, so that torch does not register it: frozen networks are in no state dict, optimiser or average.
        self._frozen = (embedder,)
        self.objective, self.optimizer_settings, self.validation = objective, optimizer, validation
        self.average_decay, self.seed = average_decay, seed
        self._since_logged: list[dict[str, Any]] = []
        self.description = describe(
            generator, embedder.view.template, embedder.view.crop_size, embedder.recogniser, config
        )

    @property
    def embedder(self) -> Embedder:
        return self._frozen[0]

    def configure_optimizers(self) -> Any:
        settings = self.optimizer_settings
        generator = settings.adam(self.generator, settings.generator_lr)
        discriminators = settings.adam(self.discriminators, settings.discriminator_lr)
        return [generator, discriminators], [settings.generator_schedule(generator)]

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            self.validation.prepare(data, self.trainer.global_rank, self.trainer.world_size)

    def on_fit_start(self) -> None:
        self.embedder.to(self.device)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One iteration on a SwapBatch: ``target``, ``source`` uint8 [B, 3, S, S], ``same_identity`` bool [B], …"""
        optimizer_g, optimizer_d = self._optimizers_counted_once()
        dtype = next(self.generator.parameters()).dtype
        target = pixels.from_uint8(batch["target"], self.generator.pixel_range, dtype)
        identity = self._identity(batch, dtype)
        result = self.generator(target, identity)

        terms = self.discriminator_phase(optimizer_d, target, result.detach())
        terms |= self.generator_phase(optimizer_g, batch, target, result, identity)
        update_average(self.ema, self.generator, self.average_decay, self.global_step)
        self._log(terms | {"generator_lr": optimizer_g.param_groups[0]["lr"]}, len(target))
        self.lr_schedulers().step()  # type: ignore[union-attr]

    def _identity(self, batch: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
        """The sources' identities [B, E]: from the table where the batch brings them, else from the recogniser."""
        if "source_identity" in batch:
            return batch["source_identity"].to(dtype)
        return self.embedder.identity(pixels.from_uint8(batch["source"], "unit", dtype), batch["source_view"])

    def discriminator_phase(self, optimizer: Optimizer, target: Tensor, result: Tensor) -> dict[str, Tensor]:
        """D: tell real targets from swaps."""
        real, fake = self.discriminators(target), self.discriminators(result)
        with self.discriminators.uncoupled():
            penalty = self.objective.penalty(
                self.discriminators.patch_functions(),
                self.discriminators.pyramid(target),
                self.discriminators.pyramid(result),
                self._mix(target),
            )
        loss, terms = self.objective.discriminator(real, fake, penalty)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return terms

    def generator_phase(
        self, optimizer: Optimizer, batch: dict[str, Tensor], target: Tensor, result: Tensor, identity: Tensor
    ) -> dict[str, Tensor]:
        """G: bring the source's identity in, keep the target's attributes, look real; D is read-only."""
        result_identity = self.embedder(pixels.to_unit(result, self.generator.pixel_range), batch["target_view"])
        with self.discriminators.read_only():
            with torch.no_grad():
                real = self.discriminators(target)
            fake = self.discriminators(result)
            loss, terms = self.objective.generator(
                result, target, batch["same_identity"], result_identity, identity, fake, real
            )
            optimizer.zero_grad()
            self.manual_backward(loss)
        optimizer.step()
        return terms

    def swap(self, target: Faces, source: Faces) -> Faces:
        """The averaged generator on pictures in unit range: what is validated, sampled and saved."""
        return swap_faces(self.ema, self.embedder, target, source)  # type: ignore[arg-type]

    def on_validation_start(self) -> None:
        self.validation.start(self.embedder, self.swap, self.device)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validation.step(batch)

    def on_validation_epoch_end(self) -> None:
        self.log_dict(self.validation.finish())

    def train(self, mode: bool = True) -> "SimSwapModule":
        super().train(mode)
        self.ema.eval()  # the average is only ever used, never trained
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self.description

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "started_from" in checkpoint[KEY]:  # of a resumed run: where its first weights came from
            self.description["started_from"] = checkpoint[KEY]["started_from"]

    def _log(self, terms: dict[str, Any], count: int) -> None:
        """Means over the iterations since the last logged one: with alternating pairs one alone tells half.

        They are worked out only where they are logged, so that a GPU is not waited for at every iteration.
        """
        self._since_logged.append(terms)
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.global_step % max(1, every) == 0:
            means = {name: sum(t[name] for t in self._since_logged) / len(self._since_logged) for name in terms}
            self._since_logged.clear()
            self.log_dict({f"train/{name}": value for name, value in means.items()}, batch_size=count)

    def _mix(self, images: Tensor) -> Tensor:
        """[B] in [0, 1): by (seed, iteration, position in all ranks' batch), so that ranks and resumes agree."""
        start = self.trainer.global_rank * len(images)
        words = random_words(self.seed, MIX_PURPOSE, self.global_step, start, start + len(images))
        return torch.from_numpy(unit(words[:, 0])).to(images)

    def _optimizers_counted_once(self) -> Any:
        """Both optimisers; the discriminators' steps do not count, or one iteration would be two global steps."""
        optimizer_g, optimizer_d = self.optimizers()  # type: ignore
        optimizer_d._on_before_step = _nothing
        optimizer_d._on_after_step = _nothing
        return optimizer_g, optimizer_d


def _nothing() -> None:
    """Stands in for the hooks by which Lightning counts optimiser steps."""
