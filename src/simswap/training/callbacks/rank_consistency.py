"""A check at each validation that all ranks train the same networks; the result is recorded at the end."""

import hashlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.distributed

from simswap.files import atomic_write


class RankConsistency(L.Callback):
    """Compares the trained weights of all ranks bit for bit: a gradient that misses DDP lets them drift silently.

    At the end rank 0 writes ``<run>/ranks.json``: a list of ``rank``, ``host``, ``pid``, ``device``, ``weights``
    (SHA-256 of every trained parameter) and ``config`` (SHA-256 of the run's settings). With one rank it does nothing.

    Raises:
        RuntimeError: on every rank, if they differ.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / "ranks.json"

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare the ranks."""
        self._compare(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare the ranks and write ranks.json."""
        ranks = self._compare(trainer, pl_module)
        if ranks and trainer.is_global_zero:
            with atomic_write(self.path) as part:
                part.write_text(json.dumps(ranks, indent=1) + "\n", encoding="utf-8")

    def _compare(self, trainer: L.Trainer, module: L.LightningModule) -> list[dict[str, Any]]:
        if trainer.world_size == 1:
            return []
        config = json.dumps(getattr(module, "description", {}).get("config"), sort_keys=True, default=str)
        mine = {
            "rank": trainer.global_rank,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "device": str(module.device),
            "weights": weights_sha256(module),
            "config": hashlib.sha256(config.encode()).hexdigest(),
        }
        ranks: list[dict[str, Any]] = [{}] * trainer.world_size
        torch.distributed.all_gather_object(ranks, mine)
        for key, words in (("weights", "weights"), ("config", "settings")):
            if len({rank[key] for rank in ranks}) > 1:
                raise RuntimeError(
                    f"at iteration {trainer.global_step} the ranks have different {words}: "
                    + ", ".join(f"rank {rank['rank']}: {rank[key][:8]}" for rank in ranks)
                )
        return ranks


def weights_sha256(module: torch.nn.Module) -> str:
    """SHA-256 over names and bytes of all trained parameters."""
    digest = hashlib.sha256()
    for name, parameter in sorted(module.named_parameters()):
        if parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
