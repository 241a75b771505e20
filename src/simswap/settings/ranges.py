"""The range of each numeric key. The check and docs/ranges.md read this table, and tests try both ends."""

from simswap.settings.number_range import LARGEST_SEED, Range, above_zero, number, share, whole


def short_seed(seed: int) -> int:
    """Fold a seed to below 2^32, the limit of Lightning and of numpy's legacy generator; a smaller one is unchanged."""
    seed %= 2**64
    return seed if seed < 2**32 else (seed ^ (seed >> 32)) % 2**32


SEED = whole(0, LARGEST_SEED)

RANGES: dict[str, Range] = {
    # simswap-train
    "seed": SEED,
    "ema_decay": share(),
    "threads": whole(1, tried=3, off=True),
    "progress_every": whole(1, tried=10**9),
    "validation.persons": whole(2, tried=10**6),
    "validation.images_per_person": whole(1, tried=10**6),
    "validation.pairs": whole(1, tried=100),
    "validation.batch_size": whole(1, tried=10**6),
    "guards.max_skipped_in_a_row": whole(0, tried=10**9),
    "guards.start_iteration": whole(0, tried=10**9),
    "guards.limits.identity": share(),
    "guards.limits.target_similarity": number(-1, 1),
    "guards.limits.pose": number(0, tried=(None, 10.0)),
    "guards.limits.discriminator": share(),
    "samples.every": whole(1, tried=10**9, off=True),
    "samples.faces": whole(1, tried=20),
    "checkpoints.every": whole(1, tried=10**9),
    "sweep.trials": whole(1, tried=10**6),
    "sweep.parallel": whole(1, tried=1000),
    "sweep.population": whole(2, tried=1000),
    "sweep.pruning_startup": whole(0, tried=10**6),
    "sweep.pruning_warmup": whole(0, tried=10**9),
    "sweep.seed": SEED,
    "sweep.trial": whole(0, tried=10**6, null=True),
    "data.batch_size": whole(1, tried=16),
    "data.same_probability": share(),
    "data.size": whole(16, 4096, null=True),
    "data.workers": whole(0, 512),
    "data.fractions.train": share(),
    "data.fractions.val": share(),
    "data.fractions.test": share(),
    "data.augmentation.flip": share(),
    "data.augmentation.color": number(0, 0.5),
    "data.cache_mb": whole(0, tried=10**6),
    "data.prefetch": whole(1, tried=100),
    "data.max_unreadable_share": share(),
    "generator.width": whole(1, tried=32),
    "generator.stages": whole(1, 8),
    "generator.blocks": whole(1, tried=12),
    "generator.max_width": whole(1, tried=10**6),
    "generator.identity_scale": above_zero(1e-3, 100.0),
    "discriminator.width": whole(1, tried=32),
    "discriminator.layers": whole(2, 5, null=True),
    "discriminator.scales": whole(1, 8),
    "objective.weights.*": number(0, tried=(None, 1e3)),
    "objective.feature_matching.first_layer": whole(0, 4),
    "objective.feature_matching.last_layer": whole(0, 4),
    "loss_recognition.*.weight": above_zero(1e-3, 1e3),
    "optimizer.generator_lr": above_zero(1e-12, 1e-1),
    "optimizer.discriminator_lr": above_zero(1e-12, 1e-1),
    "optimizer.algorithm.betas": number(0, 1, below=True, count=2, tried=(None, 0.9999)),
    "optimizer.algorithm.eps": above_zero(1e-30, 1.0),
    "optimizer.algorithm.weight_decay": number(0, tried=(None, 1.0)),
    "optimizer.discriminator_algorithm.betas": number(0, 1, below=True, count=2, null=True, tried=(None, 0.9999)),
    "optimizer.discriminator_algorithm.weight_decay": number(0, null=True, tried=(None, 1.0)),
    "optimizer.warmup": whole(0, tried=10**9),
    "optimizer.total_iterations": whole(1, tried=10**9, null=True),
    "optimizer.final_ratio": share(),
    "optimizer.discriminator_warmup": whole(0, tried=10**9, null=True),
    "optimizer.discriminator_final_ratio": share(null=True),
    "optimizer.generator_clip": above_zero(1e-6, 1e9, null=True),
    "optimizer.discriminator_clip": above_zero(1e-6, 1e9, null=True),
    "optimizer.micro_batches": whole(1, tried=4),
    "optimizer.discriminator_steps": whole(1, tried=3),
    "trainer.devices": whole(1, tried=1, also=(-1,), others=True),
    "trainer.num_nodes": whole(1, tried=1),
    "trainer.max_steps": whole(1, tried=3, also=(-1,)),
    # 1.0: once, at the end
    "trainer.val_check_interval": whole(1, tried=10**9, also=(1.0,)),
    "trainer.log_every_n_steps": whole(1, tried=10**9),
    "strategy.timeout_minutes": number(0, 525600, above=True, tried=(0.1, None)),
    "logger.init_timeout": number(0, 86400, above=True, tried=(0.1, None)),
    "logger.finish_timeout": number(0, 86400),
    "logger.keep": whole(1, tried=1000),
    "logger.watch": whole(1, tried=10**9, null=True),
    # simswap-evaluate
    "grid_faces": whole(1, tried=50),
    "worst_pairs": whole(0, 100),
    "upload.pairs": whole(0, 10000),
    "upload.worst": whole(0, 10000),
    "slices.yaw_edges": number(0, 180, above=True, below=True, tried=(1, 179), count=2),
    "slices.min_pairs": whole(1, tried=10**6),
    "protocol.persons": whole(2, tried=10**6),
    "protocol.images_per_person": whole(1, tried=10**6),
    "protocol.pairs": whole(1, tried=100),
    "protocol.seed": SEED,
    "protocol.batch_size": whole(1, tried=10**6),
    "protocol.slices.glasses": number(0, tried=(None, 1e6)),
    "protocol.slices.yaw": number(0, tried=(None, 1e6)),
    "protocol.slices.mouth_open": number(0, tried=(None, 1e6)),
    "protocol.slices.gaze_x": number(0, tried=(None, 1e6)),
    "protocol.max_skipped_share": share(),
    "protocol.size": whole(16, 4096, null=True),
    "protocol.frames": whole(1, tried=1000),
    "measure.size": whole(16, 4096),
    "fid.size": whole(1, 4096, null=True),
    "detector.size": whole(32, 4096),
    "detector.upsample": whole(0, 4),
    "detector.threshold": number(0, 1, above=True, below=True, tried=(0.01, 0.99)),
    # simswap-prepare, simswap-import
    "size": whole(16, 4096),
    "min_side": whole(0, tried=10**6),
    "quality": whole(1, 100),
    "workers": whole(0, 512),
    "origin.persons": whole(1, tried=20),
    "origin.images": whole(1, tried=20),
    "origin.size": whole(32, 1024),
    "origin.seed": SEED,
    "generation": whole(2021, 2022),
    # simswap-swap
    "threshold": number(-1, 1),
    "min_face": whole(0, tried=10**6),
    "batch_size": whole(1, tried=10**6),
    "video.start": number(0, null=True, tried=(None, 1e5)),
    "video.end": above_zero(1e-3, 1e5, null=True),
    "video.every": whole(1, tried=1000),
    "video.quality": number(0, 100),
    "video.smoothing": number(0, 10),
    "video.gap": number(0, 60),
    "video.rate": number(0.1, 1000),
    "paste.extent": number(0, 10, above=True, tried=(0.1, None)),
    "paste.feather": share(),
    "paste.detail": share(),
    "paste.detail_fade": number(0, 255, above=True, null=True, tried=(0.1, None)),
    # simswap-compare
    "pictures": whole(0, tried=100),
    "worst": whole(0, tried=100),
    # simswap-app
    "port": whole(0, 65535),
    "uploads.file_mb": number(0, 4000, above=True, tried=(0.01, None)),
    "uploads.files": whole(1, 10000),
    "uploads.all_mb": number(0, 100000, above=True, tried=(0.01, None)),
    "uploads.minutes": number(1, 10000),
    "uploads.video_seconds": number(0, 3600, above=True, tried=(0.1, None)),
}
"""Dotted key → its range. A test checks that every numeric key in conf/ is listed.

A last part ``*`` stands for every key of an open node: the code that takes the node knows its keys. A part ``*`` before
the last stands for every entry of a group of named entries.
"""


def range_of(key: str) -> Range | None:
    """The range of a dotted key, by its own name, by that of its open node or of its group of named entries."""
    node, _, name = key.rpartition(".")
    return RANGES.get(key) or RANGES.get(f"{node}.*") or RANGES.get(f"{node.rpartition('.')[0]}.*.{name}")


OPTIONAL = {"checkpoint"}
"""Keys without a default that may be null. The job refuses null where it needs a value."""


def table() -> str:
    """The text of docs/ranges.md: every numeric key with its range."""
    rows = "".join(f"| `{key}` | {limit.words()} |\n" for key, limit in RANGES.items())
    return (
        "# Numbers and their ranges\n\nMade by `python -m simswap.settings.ranges > docs/ranges.md` from the one table "
        "that the check reads. Anything else stops\nwith one line before anything is built: `nan`, `inf`, a text, "
        "`true`, a fraction where a whole number is due, a list of\nanother length.\n\n| key | takes |\n|---|---|\n"
        + rows
    )


if __name__ == "__main__":
    print(table(), end="")
