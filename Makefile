# Every target creates .venv and installs the package first if needed, so `make demo` works on any machine with Python 3.10
# to 3.12.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# albumentations must not ask the network for newer versions.
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: install demo photos app ablation test test-slow test-lowest test-newest coverage lint bench gpu clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' \
		|| { echo "error: Python 3.10 to 3.12 is needed; name one as PYTHON=…"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $@

# Render faces, align them, train for five minutes on the CPU, measure on unseen persons, and name the machine's speed.
demo: install
	$(BIN)/simswap-prepare origin=rendered origin.persons=600 origin.images=12 \
		raw=outputs/data/demo_faces out=outputs/data/demo size=64 template=arcface
	$(BIN)/simswap-train experiment=demo hydra.run.dir=outputs/demo/$(DEMO_RUN)
	$(BIN)/simswap-evaluate checkpoint=outputs/demo/$(DEMO_RUN)/checkpoints/last.ckpt \
		shipped=src/simswap/weights/demo.ckpt
	$(BIN)/python -m simswap.launching.product_rate --threads 2
DEMO_RUN := $(shell date +%Y-%m-%d_%H-%M-%S)

# Swap faces in photographs that installed packages bring, with the checkpoint for photographs (docs/models.md).
photos: install
	$(BIN)/python -m simswap.inference.demo_photos --out outputs/photos

# A local page to try the checkpoint for photographs, and to look at the runs below outputs/ (docs/app.md).
app: install
	$(BIN)/simswap-app checkpoint=src/simswap/weights/photo.ckpt judge=dlib pose=dlib68 runs=outputs

# The paper's ablation on a small scale (docs/ablation.md): seven variants, two reductions, three seeds, one warm start.
# Repeat the command to continue after an interruption.
ABLATION ?= outputs/ablation
SEEDS ?= 1,2,3
ablation: install
	$(BIN)/simswap-prepare origin=rendered origin.persons=700 origin.images=12 origin.size=160 origin.seed=11 \
		raw=outputs/data/ablation_faces out=outputs/data/ablation96 size=96 template=arcface
	$(BIN)/simswap-train experiment=ablation seed=100 trainer.max_steps=2000 on_existing_run=resume \
		hydra.run.dir=$(ABLATION)/warm
	$(BIN)/simswap-train -m experiment=ablation 'ablation=glob(*)' seed=$(SEEDS) on_existing_run=resume \
		objective.feature_matching.layer_reduction=sum,mean \
		start_from=$(ABLATION)/warm/checkpoints/last.ckpt launcher=local hydra.sweep.dir=$(ABLATION)/branches
	for run in $(ABLATION)/branches/*/; do \
		[ $$run/evaluation.json -nt $$run/checkpoints/last.ckpt ] || \
		$(BIN)/simswap-evaluate checkpoint=$$run/checkpoints/last.ckpt protocol.pairs=500 \
			protocol.images_per_person=5 grid_faces=4 || exit 2; done
	$(BIN)/simswap-compare runs=$(ABLATION)/branches \
		'baseline="SimSwap, layer_reduction=sum"' out=$(ABLATION)/compare

# WORKERS: parallel processes. Tests of one file stay in one process, because they share fixtures. OPTIONS: for pytest.
WORKERS ?= 2
test: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(OPTIONS)

# The suite with the lowest allowed and with the newest release of each dependency. Each has an environment of its own, of
# several gigabytes (torch with CUDA), so .ci/run does not run them.
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e '.[all]'
	.venv-lowest/bin/python -m pytest -n $(WORKERS) --dist loadfile $(OPTIONS)

test-newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager -e '.[all]'
	.venv-newest/bin/python -m pytest -n $(WORKERS) --dist loadfile $(OPTIONS)

test-slow: install
	$(BIN)/python -m pytest -m slow --timeout=1800

# How much of src/simswap the suite runs, in the processes that it starts too; fails below [tool.coverage.report]'s
# fail_under. It takes longer than `make test`, which measures nothing.
coverage: install
	COVERAGE_FILE=$(CURDIR)/build/coverage/data \
		$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term $(OPTIONS)

lint: install
	$(BIN)/ruff check src tests benchmarks notebooks
	$(BIN)/ruff format --check src tests benchmarks notebooks
	$(BIN)/codespell -D - -D codespell.txt
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: install
	$(BIN)/python benchmarks/renderer.py
	$(BIN)/python benchmarks/preparing.py
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/iteration.py
	$(BIN)/python benchmarks/validation.py
	$(BIN)/python benchmarks/switches.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/checkpointing.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/saving.py
	$(BIN)/python benchmarks/retrieval.py
	$(BIN)/python benchmarks/against_published.py

# The day there is a GPU: its tests, training beside the public trainer's iteration, launches, host waits and memory, in
# under 8 minutes; outputs/gpu_report.md. OPTIONS: for the script (--minutes 5 --skip-tests).
gpu: install
	@$(BIN)/python benchmarks/gpu_report.py $(OPTIONS)

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest build dist src/*.egg-info
