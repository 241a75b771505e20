"""Settings of Lightning's Trainer that do not work with this training, each with the key that replaces it."""

from typing import Any

from simswap.errors import InputError

KEPT = ("deterministic", "benchmark", "detect_anomaly")
"""Settings of Lightning that are allowed in addition to those in conf/trainer: they change speed and checks only."""

INSTEAD = {
    "gradient_clip_val": "optimizer.generator_clip and optimizer.discriminator_clip",
    "gradient_clip_algorithm": "optimizer.generator_clip and optimizer.discriminator_clip",
    "accumulate_grad_batches": "optimizer.micro_batches",
    "limit_train_batches": "trainer.max_steps",
    "limit_val_batches": "validation.pairs",
    "limit_test_batches": "simswap-evaluate's protocol.pairs",
    "limit_predict_batches": "simswap-evaluate's protocol.pairs",
    "overfit_batches": "data.fractions and trainer.max_steps",
    "fast_dev_run": "experiment=debug",
    "max_epochs": "trainer.max_steps",
    "min_epochs": "trainer.max_steps",
    "min_steps": "trainer.max_steps",
    "check_val_every_n_epoch": "trainer.val_check_interval",
    "num_sanity_val_steps": "trainer.val_check_interval",
    "strategy": "the group strategy (strategy=ddp)",
    "sync_batchnorm": "strategy.sync_batchnorm",
    "plugins": "the group strategy",
    "use_distributed_sampler": "the group data, which draws pairs for any number of ranks",
    "reload_dataloaders_every_n_epochs": "the group data",
    "logger": "the group logger (logger.mode, logger.project)",
    "callbacks": "the group callbacks, guards, samples and checkpoints",
    "enable_checkpointing": "checkpoints.every",
    "enable_progress_bar": "progress_every",
    "enable_model_summary": "the log's first lines, which name sizes and networks",
    "default_root_dir": "hydra.run.dir",
    "inference_mode": "nothing; validation is always without gradients",
    "profiler": "the group profiler (profiler=simple)",
    "barebones": "make bench",
    "model_registry": "simswap-export",
    "enable_autolog_hparams": "the group logger",
}


def allowed_of_trainer(node: dict[str, Any], reference: Any, hints: dict[str, Any]) -> set[str]:
    """The keys that the node ``trainer`` takes.

    Raises:
        InputError: A key of Lightning's Trainer is given that another key replaces; the line names it.
    """
    ours = set(reference) if isinstance(reference, dict) else set()
    allowed = ours | {"_target_"} | ({*KEPT} & {*hints})
    for key in node:
        if key not in allowed and key in INSTEAD:
            raise InputError(f"trainer.{key} does not work with this training; use {INSTEAD[key]}")
    return allowed
