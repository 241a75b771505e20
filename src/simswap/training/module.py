"""The LightningModule: which phase does what with the generator, the discriminators and the objective.

One iteration = discriminator steps (one by default) + one generator step = one ``global_step``.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from simswap import pixels
from simswap.checkpoint import KEY, describe
from simswap.data.pairs import mixing_weights
from simswap.losses.objective import Objective
from simswap.losses.terms import DiscriminatorInputs, GeneratorInputs
from simswap.measuring.swappers import Faces, swap_faces
from simswap.models.discriminator_contract import DiscriminatorPyramid, as_module, outputs
from simswap.models.embedder import Embedder
from simswap.models.frozen import frozen
from simswap.models.generator import Generator
from simswap.models.statistics import (
    copy_of_buffers,
    eval_mode_batch_norm,
    frozen_batch_norm_statistics,
    unmoved_batch_norm_statistics,
)
from simswap.settings.recorded_names import CALLBACKS
from simswap.training.embedding_table import embedding_table, embedding_tables
from simswap.training.loss_recognition import LossRecognition, LossRecognizer
from simswap.training.optimization import OptimizerSettings, averaged_copy, update_ema
from simswap.training.phase import Decision, MicroBatch, Phase, rows_of
from simswap.training.stepping import SteppingModule
from simswap.training.training_embedder import Switches, training_embedder
from simswap.training.validation import Validation


class SimSwapModule(SteppingModule):
    """Generator and discriminators with their optimizers; the frozen embedder is not part of the state dict.

    Args:
        generator: trained.
        discriminators: trained.
        embedder: crops → identity embedding of the recognizer that training uses; frozen.
        objective: the loss terms.
        optimizer: optimizers, schedules and micro-batches.
        validation: measures the EMA generator on unseen persons.
        ema_decay: of the generator's EMA.
        seed: of the gradient penalty's interpolation.
        config: the complete config as plain values, stored in the checkpoint.
        loss_recognizers: the recognizers of the identity loss; empty for the embedder's alone.

    Raises:
        InputError: image size, networks and objective do not fit each other.
    """

    def __init__(
        self,
        generator: Generator,
        discriminators: DiscriminatorPyramid,
        embedder: Embedder,
        objective: Objective,
        optimizer: OptimizerSettings,
        validation: Validation,
        ema_decay: float,
        seed: int,
        config: dict[str, Any],
        loss_recognizers: Mapping[str, LossRecognizer] | None = None,
    ) -> None:
        super().__init__(
            [
                # The gradient penalty's gradient is a second derivative: it loses digits first.
                Phase(
                    "discriminator",
                    as_module(discriminators),
                    optimizer.discriminator_clip,
                    precise=bool(objective.second_derivatives()),
                ),
                Phase("generator", generator, optimizer.generator_clip),
            ]
        )
        generator.check_size(embedder.view.crop_size)
        objective.check_layers(discriminators.layer_count)
        self.generator, self.discriminators = generator, discriminators
        self.ema = averaged_copy(generator)
        # In a tuple, so that torch does not register it: frozen networks are in no state dict, optimizer or EMA.
        self._frozen = (embedder, embedder)
        self.loss_recognition = LossRecognition(loss_recognizers or {}, embedder)
        self.switches = Switches()
        self.objective, self.optimizer_settings, self.validation = objective, optimizer, validation
        self.ema_decay, self.seed = ema_decay, seed
        self.description = describe(
            generator, embedder.view.template, embedder.view.crop_size, embedder.recognizer, config
        )
        self.description |= self.loss_recognition.described()

    @property
    def embedder(self) -> Embedder:
        """The frozen embedder, in fp32: it measures, and computes the table of embeddings."""
        return self._frozen[0]

    @property
    def training_embedder(self) -> Embedder:
        """The embedder of the sources and results of training: another form of `embedder` while a run trains."""
        return self._frozen[1]

    def configure_optimizers(self) -> Any:
        """Optimizers and schedules of generator and discriminators, in this order."""
        settings = self.optimizer_settings
        fused = self.may_decide_on_device()
        generator = settings.of_generator(self.generator, fused)
        discriminators = settings.of_discriminators(self.phases["discriminator"].network, fused)
        schedules = [settings.generator_schedule.of(generator), settings.discriminator_schedule.of(discriminators)]
        return [generator, discriminators], schedules

    def setup(self, stage: str) -> None:
        """Give the data module what depends on the training, and choose the validation pairs."""
        data = getattr(self.trainer, "datamodule", None)
        if data is not None:
            self.optimizer_settings.check_batch(data.batch_size, self.trainer.world_size)
            others = self.loss_recognition.others() if stage == "fit" else {}
            data.prepare_training(
                draws=self.optimizer_settings.discriminator_steps,
                identities=embedding_table(self.trainer, data, self.embedder) if stage == "fit" else None,
                validation_chunks=self.validation.prepare(data, self.trainer.global_rank, self.trainer.world_size),
                loss_identities=embedding_tables(self.trainer, data, others),
            )

    def on_fit_start(self) -> None:
        """Move the embedder to the device and prepare the optimizer steps."""
        self.embedder.to(self.device)
        form = partial(training_embedder, precision=self.trainer.precision, switches=self.switches)
        self._frozen = (self.embedder, form(self.embedder))
        self.loss_recognition.prepare(self.device, form)
        self.prepare_steps()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One iteration on a SwapBatch: ``target``, ``source`` uint8 [n*B, 3, S, S], ``same_identity`` bool [n*B], etc.

        It holds n draws of B pairs for n discriminator steps; the generator uses the first draw, which comes last.
        """
        optimizer_g, optimizer_d = self.optimizers_counted_once()
        draws = self._draws(batch)
        statistics = copy_of_buffers(self.generator)
        if len(draws[0]) == 1:  # the batch is not split: both phases use one forward pass
            micro_batch = draws[0][0]
            micro_batch.result = self.generator(self._target(micro_batch), micro_batch.identity)
        for micro_batches in reversed(draws):
            self.discriminator_phase(optimizer_d, micro_batches)
        made = self.generator_phase(optimizer_g, draws[0], statistics)
        update_ema(self.ema, self.generator, self.ema_decay, self.global_step, made)
        self.end_iteration(batch)
        self.log_means({"generator_lr": optimizer_g, "discriminator_lr": optimizer_d})
        for schedule in self.lr_schedulers():  # type: ignore[union-attr]
            schedule.step()  # type: ignore[call-arg]

    def discriminator_phase(self, optimizer: Optimizer, micro_batches: list[MicroBatch]) -> Decision:
        """D: distinguish real targets from swaps. Returns whether the step was made."""
        phase = self.phases["discriminator"]
        return self.step(phase, optimizer, micro_batches, self._discriminator_loss, copy_of_buffers(phase.network))

    def _discriminator_loss(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        target = self._target(micro_batch)
        result = self._detached_result(micro_batch, target)
        judged = outputs(self.discriminators(target), self.discriminators(result))
        with eval_mode_batch_norm(self.phases["discriminator"].network):
            return self.objective.discriminator(
                DiscriminatorInputs(
                    target=target,
                    result=result,
                    same_identity=micro_batch.batch["same_identity"],
                    real_pyramid=self.discriminators.pyramid(target),
                    fake_pyramid=self.discriminators.pyramid(result),
                    patch_functions=self.discriminators.patch_functions(),
                    mix=micro_batch.mix,
                    **judged,
                )
            )

    def generator_phase(
        self, optimizer: Optimizer, micro_batches: list[MicroBatch], statistics: list[Tensor]
    ) -> Decision:
        """G: transfer the source's identity, keep the target's attributes, look real; D is frozen.

        ``statistics`` are the generator's buffers before this iteration. Returns whether the step was made.
        """
        with frozen(self.phases["discriminator"].network):
            return self.step(self.phases["generator"], optimizer, micro_batches, self._generator_loss, statistics)

    def _generator_loss(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        target = self._target(micro_batch)
        result = self.generator(target, micro_batch.identity) if micro_batch.result is None else micro_batch.result

        def to_unit(images: Tensor) -> Tensor:
            return pixels.to_unit(images, self.generator.pixel_range)

        def embed(images: Tensor) -> Tensor:
            return self.training_embedder(to_unit(images), micro_batch.batch["target_view"])

        result_identity, recognized = self.loss_recognition.see(result, to_unit, embed, micro_batch)
        with torch.no_grad():
            real = self.discriminators(target)
        return self.objective.generator(
            GeneratorInputs(
                target=target,
                result=result,
                same_identity=micro_batch.batch["same_identity"],
                source_identity=micro_batch.identity,
                result_identity=result_identity,
                generate=self._generate_again,
                embed=embed,
                to_unit=to_unit,
                recognized=recognized,
                **outputs(real, self.discriminators(result)),
            )
        )

    def _generate_again(self, images: Tensor, identity: Tensor) -> Tensor:
        """Run the generator on images that are no targets, without an update of its running statistics."""
        with unmoved_batch_norm_statistics(self.generator):
            return self.generator(images, identity)

    def _draws(self, batch: dict[str, Tensor]) -> list[list[MicroBatch]]:
        """The batch, split into discriminator steps and micro-batches."""
        settings, dtype = self.optimizer_settings, next(self.generator.parameters()).dtype
        size = len(batch["target"]) // settings.discriminator_steps
        step = size // settings.micro_batches
        draws = []
        for draw in range(settings.discriminator_steps):
            mix = self._mix(batch, draw, size).to(self.device, dtype)
            shares = [rows_of(batch, draw * size + start, step) for start in range(0, size, step)]
            draws.append([MicroBatch(x, m, self._identity(x)) for x, m in zip(shares, mix.split(step), strict=True)])
        return draws

    def _identity(self, batch: dict[str, Tensor]) -> Tensor:
        """The sources' identity embeddings [b, E]: from the batch if it has them, else from the recognizer."""
        dtype = next(self.generator.parameters()).dtype
        if "source_identity" in batch:
            return batch["source_identity"].to(dtype)
        source = pixels.from_uint8(batch["source"], "unit", dtype)
        return self.training_embedder.identity(source, batch["source_view"])

    def _target(self, micro_batch: MicroBatch) -> Tensor:
        dtype = next(self.generator.parameters()).dtype
        return pixels.from_uint8(micro_batch.batch["target"], self.generator.pixel_range, dtype)

    def _detached_result(self, micro_batch: MicroBatch, target: Tensor) -> Tensor:
        """The swaps for the discriminators; the generator's phase computes them again and updates its statistics."""
        if micro_batch.result is not None:
            return micro_batch.result.detach()
        with torch.no_grad(), frozen_batch_norm_statistics(self.generator):
            return self.generator(target, micro_batch.identity)

    def swap(self, target: Faces, source: Faces) -> Faces:
        """The EMA generator on images in unit range; validation, samples and checkpoints use it."""
        images = target.images.to(next(self.ema.parameters()).dtype)
        result = swap_faces(self.ema, self.embedder, Faces(images, target.view), source)  # type: ignore[arg-type]
        return Faces(result.images.to(target.images.dtype), result.view)

    def on_validation_start(self) -> None:
        """Prepare the measurement."""
        self.validation.start(self.embedder, self.swap, self.device)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Swap and measure one chunk of pairs."""
        self.validation.step(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the figures."""
        self.log_dict(self.validation.finish())

    def train(self, mode: bool = True) -> "SimSwapModule":
        """Switch between training and eval mode; the EMA generator stays in eval mode."""
        super().train(mode)
        self.ema.eval()  # the EMA is never trained
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description of the networks."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[KEY] = self.description

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Read a checkpoint of this or an earlier version."""
        super().on_load_checkpoint(checkpoint)
        states = checkpoint.get("callbacks", {})
        for old in [name for name in states if name in CALLBACKS]:
            states[CALLBACKS[old]] = states.pop(old)
        if "started_from" in checkpoint[KEY]:  # of a resumed run: the origin of its first weights
            self.description["started_from"] = checkpoint[KEY]["started_from"]

    def _mix(self, batch: dict[str, Tensor], draw: int, size: int) -> Tensor:
        """[size] in [0, 1): the batch's, or the same numbers for a batch that `SwapDataModule` did not make."""
        if "mix" in batch:
            return batch["mix"][draw * size : (draw + 1) * size]
        start = (draw * self.trainer.world_size + self.trainer.global_rank) * size
        return torch.from_numpy(mixing_weights(self.seed, self.global_step, start, start + size))
