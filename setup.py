"""The settings are in setup.cfg; here conf/, which lies at the top of the checkout, is put into the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONF = Path(__file__).resolve().parent / "conf"


class BuildWithConf(build_py):
    """Copies conf/ to simswap/conf of what is installed; an editable install finds it in the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "simswap", "conf")
            if target.exists():
                shutil.rmtree(target)  # of an earlier build: a file that is gone must not stay
            shutil.copytree(CONF, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        if not self.editable_mode:
            target = Path(self.build_lib, "simswap", "conf")
            outputs += [str(target / file.relative_to(CONF)) for file in sorted(CONF.rglob("*")) if file.is_file()]
        return outputs


setup(cmdclass={"build_py": BuildWithConf})
