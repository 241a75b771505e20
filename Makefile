# Each target makes .venv and installs if need be: `make demo` and `make test` work on a bare machine with Python 3.10+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The wide terminal table of the demo, and no question or download from a tool that it uses.
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: install demo test test-slow lint bench clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' \
		|| { echo "error: Python 3.10 to 3.12 is needed; name one as PYTHON=…"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,notebooks,sweeps]'
	@touch $@

# The main job on the embedded default: render faces, align them, train for five minutes, measure on unseen persons.
demo: install
	$(BIN)/simswap-prepare origin=rendered origin.persons=600 origin.images=12 \
		raw=outputs/data/demo_faces out=outputs/data/demo size=64 template=arcface
	$(BIN)/simswap-train experiment=demo hydra.run.dir=outputs/demo/$(DEMO_RUN)
	$(BIN)/simswap-evaluate checkpoint=outputs/demo/$(DEMO_RUN)/checkpoints/last.ckpt \
		shipped=src/simswap/weights/demo.ckpt
DEMO_RUN := $(shell date +%Y-%m-%d_%H-%M-%S)

test: install
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m slow --timeout=1800

lint: install
	$(BIN)/ruff check src tests benchmarks notebooks
	$(BIN)/mypy

bench: install
	$(BIN)/python benchmarks/renderer.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/iteration.py
	$(BIN)/python benchmarks/switches.py
	$(BIN)/python benchmarks/checkpointing.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info
