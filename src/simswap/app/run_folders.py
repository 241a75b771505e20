"""The run folders below ``runs=``: the only place outside of the page's own folder that the page reads from."""

from collections.abc import Sequence
from pathlib import Path

from simswap.data.listing import natural_key
from simswap.errors import InputError
from simswap.tracking.runs import find_runs

READ = (".hydra", "evaluations", "samples")
"""Folders of a run that are read, beside its own."""


class RunFolders:
    """Runs below one folder, by their paths relative to it.

    Args:
        root: The folder; all that is read lies in it, links resolved.

    Raises:
        InputError: There is no such folder.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise InputError(f"runs={root}: there is no such folder; give a folder of runs, as in runs=outputs")
        self.root = root.resolve()

    def names(self) -> list[str]:
        """The runs in it, in natural order; those to which a link from outside leads are left out."""
        try:
            found = find_runs(str(self.root))
        except InputError:  # none yet
            return []
        return [str(run.relative_to(self.root)) for run, _ in found if self._is_inside(run)]

    def groups(self) -> dict[str, list[str]]:
        """The folders that hold several runs at any depth (a sweep, an experiment), and their runs."""
        names, found = self.names(), dict[str, list[str]]()
        for name in names:
            for above in list(Path(name).parents)[:-1]:
                found.setdefault(f"{above}/", []).append(name)
        everything = {f"all {len(names)} runs": names} if len(names) > 1 else {}
        return everything | {folder: runs for folder, runs in sorted(found.items()) if 1 < len(runs) < len(names)}

    def chosen(self, choices: Sequence[str]) -> list[str]:
        """The runs that a choice of runs and groups means, each once, in natural order."""
        groups = self.groups()
        names = dict.fromkeys(name for choice in choices for name in groups.get(choice, [choice]))
        return sorted(names, key=natural_key)

    def folder(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            InputError: No run of this name is below the root, or one of its files is a link that leads out.
        """
        folder = self.inside(self.root / name)
        for part in (folder, *(folder / below for below in READ)):
            for file in sorted(part.iterdir()) if part.is_dir() else ():
                if not self._is_inside(file):
                    raise InputError(f"{name}: {file.name} is a link out of runs=, which the page does not follow")
        return folder

    def inside(self, path: Path) -> Path:
        """The path, if it is there and lies below the root with all links resolved. Raises InputError otherwise."""
        if "\0" in str(path) or not self._is_inside(path) or not path.exists():
            raise InputError(f"{path.name}: there is no such file or folder below runs=; choose one of the list")
        return path.resolve()

    def grids(self, name: str) -> dict[int, Path]:
        """The sample grids of a run by iteration, in order."""
        files = sorted((self.folder(name) / "samples").glob("*.png"), key=lambda path: natural_key(path.name))
        return {int(file.stem): file for file in files if file.stem.isdigit() and self._is_inside(file)}

    def checkpoints(self) -> dict[str, Path]:
        """The checkpoints of all runs, by their paths relative to the root."""
        files = [file for name in self.names() for file in sorted((self.root / name / "checkpoints").glob("*.ckpt"))]
        return {str(file.relative_to(self.root)): file for file in files if self._is_inside(file)}

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root)
