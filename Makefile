# Needs Python >= 3.11 and make; everything else goes into .venv. `make help` lists the targets.

PYTHON  ?= python3
VENV    := .venv
PY      := $(VENV)/bin/python
PIP     := $(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt

KNOWN   := jax tensorflow torch
ifneq ($(filter-out $(KNOWN),$(BACKEND)),)
$(error BACKEND is '$(BACKEND)'; it must be one of: $(KNOWN))
endif
DEMO_BACKEND  := $(or $(BACKEND),jax)
TEST_BACKENDS := $(or $(BACKEND),$(KNOWN))

empty :=
space := $(empty) $(empty)
comma := ,

# A stamp says that a set of extras is installed, so that the second time is quick.
DEMO    := $(VENV)/.installed-demo-$(DEMO_BACKEND)
TEST    := $(VENV)/.installed-test-$(subst $(space),-,$(TEST_BACKENDS))
# The peers have a place of their own: torchvision breaks transformers beside a CPU torch.
BENCH_VENV := .venv-bench
BENCH   := $(BENCH_VENV)/.installed
DEV     := $(VENV)/.installed-dev
LINT    := $(VENV)/.installed-lint
SOURCES := pyproject.toml constraints.txt

.PHONY: help install demo test oldest lint format bench wheel clean

help:
	@echo 'make demo      zero-shot answers on real pictures by the bundled model [BACKEND=jax]'
	@echo 'make test      the test suite on $(KNOWN) in turn [BACKEND=one of them]'
	@echo '               SLOW=jax adds the real-size tests; ARGS="-k parity" goes to pytest'
	@echo 'make oldest    the quick tests on the oldest allowed versions [BACKEND=jax]'
	@echo 'make lint      check style; make format repairs what can be repaired'
	@echo 'make bench     measure speed beside the reference libraries [ARGS=...]'
	@echo 'make wheel     build dist/keras_clip-*.whl'
	@echo 'make install   .venv with everything a contributor needs'
	@echo 'make clean     remove .venv and build outputs'

install: $(DEV)

demo: $(DEMO)
	@KERAS_BACKEND=$(DEMO_BACKEND) TF_CPP_MIN_LOG_LEVEL=2 $(VENV)/bin/keras-clip demo $(ARGS)

test: $(TEST)
	@$(PY) scripts/test_matrix.py $(if $(SLOW),--slow $(SLOW)) $(TEST_BACKENDS) -- $(ARGS)

oldest: $(PY)
	@$(PY) scripts/oldest.py --backend $(DEMO_BACKEND) -- $(ARGS)

lint: $(LINT)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

format: $(LINT)
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(BENCH)
	@$(BENCH_VENV)/bin/python benchmarks/run.py $(ARGS)

wheel: $(PY)
	@rm -rf dist
	@$(PY) -m pip wheel -qq --disable-pip-version-check --no-deps -w dist .
	@ls dist/*.whl

clean:
	rm -rf $(VENV) $(BENCH_VENV) dist build

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: make PYTHON=/path/to/a/newer/python" >&2; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(DEMO): $(SOURCES) | $(PY)
	@echo "installing keras-clip with $(DEMO_BACKEND) into $(VENV)"
	@$(PIP) -e ".[$(DEMO_BACKEND),plot]"
	@touch $@

$(TEST): $(SOURCES) | $(PY)
	@echo "installing keras-clip with $(TEST_BACKENDS) and the test tools into $(VENV)"
	@$(PIP) -e ".[test,$(subst $(space),$(comma),$(TEST_BACKENDS))]"
	@touch $@

$(BENCH): $(SOURCES) | $(PY)
	@echo "installing keras-clip with $(KNOWN) and its peers into $(BENCH_VENV)"
	@$(PY) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt \
	  -e ".[bench,$(subst $(space),$(comma),$(KNOWN))]"
	@touch $@

$(DEV): $(SOURCES) | $(PY)
	@echo "installing keras-clip with $(KNOWN) and every tool into $(VENV)"
	@$(PIP) -e ".[dev,$(subst $(space),$(comma),$(KNOWN))]"
	@touch $@

$(LINT): constraints.txt | $(PY)
	@$(PIP) ruff
	@touch $@
