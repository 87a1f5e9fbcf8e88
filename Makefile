# The contributor's guide in commands. A fresh machine needs Python 3.11+, pip and make.
PYTHON ?= python3
BIN := .venv/bin
PROJECTS := pyproject.toml plugins/akida/pyproject.toml plugins/espdl/pyproject.toml plugins/onnx_generic/pyproject.toml
EDITABLE := -e plugins/akida -e plugins/espdl -e plugins/onnx_generic
TARGETS := --target esp32p4 --target esp32s3 --target akida1 --target akida2 --target onnx-qdq
DIGITS := examples/digits

.PHONY: demo test test-runtime lint bench docs clean

demo: .venv/runtime  ## quantize the bundled model for all targets and compare them
	$(BIN)/quaint compare $(DIGITS)/digits.onnx $(TARGETS) --calibration $(DIGITS)/calibration.npz \
	  --samples $(DIGITS)/test.npz --labels $(DIGITS)/labels.npz --output build/demo --force

test: .venv/development  ## the whole suite, PyTorch and Keras front ends included
	$(BIN)/python -m pytest -n 2

test-runtime: .venv-akida/ready  ## the tests with BrainChip's akida package: proprietary, and you accept its licence
	.venv-akida/bin/python -m pytest plugins/akida/tests

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/development  ## measure speed against named peers and limits, as ratios
	$(BIN)/python -m benchmarks

docs: .venv/development
	$(BIN)/pip install -q -c constraints.txt -r docs/requirements.txt
	$(BIN)/sphinx-build -W -q -b html docs build/docs

.venv/runtime: $(PROJECTS) constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e . $(EDITABLE)
	@touch $@

.venv/development: .venv/runtime tests/requirements.txt
	$(BIN)/pip install -q -c constraints.txt -r tests/requirements.txt -e ".[torch,keras]" $(EDITABLE)
	@touch $@

# A venv of its own: whatever else runs must run without the package.
.venv-akida/ready: $(PROJECTS) constraints.txt
	$(PYTHON) -m venv .venv-akida
	.venv-akida/bin/pip install -q -c constraints.txt pytest hypothesis -e ".[tensorboard]" -e "plugins/akida[runtime]"
	@touch $@

clean:
	rm -rf .venv .venv-akida build
