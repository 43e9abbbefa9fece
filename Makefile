# make demo   train, analyse and draw two models; make app   explore them; make test   run the tests
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
READY := .venv/.ready

.PHONY: help setup check test demo demo-all app report calibrate bench-train bench-pipeline bench-ensemble bench-analysis bench-redraw bench-fit bench-quantize clean

help:
	@echo "make demo            install into .venv, train two models that grok, analyse and draw them"
	@echo "make app             open the app at http://127.0.0.1:8501"
	@echo "make report          bring every variant up to date: artifacts/<variant>/report.html"
	@echo "make demo-all        like make demo, for every variant of params.yaml"
	@echo "make calibrate       run every instrument on models whose answer is known"
	@echo "make check           lint, format, types, direction of imports"
	@echo "make test            run the tests"
	@echo "make bench-train     time a training step beside TransformerLens' own model"
	@echo "make bench-ensemble  time many seeds side by side, and one alone"
	@echo "make bench-pipeline  what DVC and starting Python cost, beside what stages compute"
	@echo "make bench-analysis  seconds and megabytes per instrument"
	@echo "make bench-quantize  INT8 and INT4 beside float32, bfloat16 and torchao"
	@echo "make bench-redraw    the app's time from a slider step to the new figure"
	@echo "make bench-fit       time a scaling law with 1,000 bootstraps"
	@echo "make clean           remove .venv and caches; artifacts stay"
	@echo
	@echo "PYTHON=python3.12    the Python to install with: 3.11, 3.12 or 3.13"
	@echo "TORCH_INDEX=URL      the package index that torch is installed from"

setup: $(READY)

# torch first and alone: TORCH_INDEX may name an index of torch only, and what torch needs comes with the rest
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: MIScope needs Python 3.11 or newer; $(PYTHON) is `$(PYTHON) -V`. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "error: Python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--no-deps --index-url $(TORCH_INDEX)) torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

check: setup
	ruff check
	ruff format --check
	mypy
	lint-imports

test: setup
	OMP_NUM_THREADS=1 pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

demo: setup
	@date +%s > .venv/.started
	python -m miscope run report@modulus_113 report@modulus_59
	@python -m miscope variants
	@echo "Done in $$(($$(date +%s) - $$(cat .venv/.started))) s. The reports are artifacts/<variant>/report.html; \`make app\` opens the app."

report: setup
	python -m miscope run report
	@ls -1 artifacts/*/report.html

demo-all: setup
	python -m miscope run
	@python -m miscope variants

app: setup
	@streamlit run app/main.py

calibrate: setup
	@dvc repro stages/calibrate/dvc.yaml
	@python -m miscope calibration

bench-train: setup
	@python bench/train.py

bench-ensemble: setup
	@python bench/ensemble.py

bench-pipeline: setup
	python bench/pipeline.py

bench-analysis: setup
	@python bench/analysis.py

bench-quantize: setup
	@python bench/quantize.py

bench-redraw: setup
	@python bench/redraw.py . modulus_113

bench-fit: setup
	@python bench/fit.py

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build
