# The two commands are `make book` and `make test`; `make` alone lists the rest.

# Which Python makes .venv. Naming one (make PYTHON=python3.12 ...) replaces a
# .venv that another one made; without a name a working .venv is kept.
ifeq ($(origin PYTHON), undefined)
PYTHON := python3
else
CHOSEN := --chosen
endif

# make VENV=.venv-3.13 PYTHON=python3.13 ... leaves .venv alone.
VENV ?= .venv
PORT ?= 8000
ARGS ?=
BIN := $(VENV)/bin/python
HTML := _build/html

# Several files at a time, each in one of as many processes as there are cores, at most four: one
# takes up to 2.5 GiB. ARGS="-n 0" takes a single process, as a debugger needs.
PYTEST := $(BIN) -m pytest -rs -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help env data book test test-all test-quick test-outputs test-cuda-build test-kill test-hostile serve lab notebooks \
	lint quick check interface stamp release clean distclean
.DEFAULT_GOAL := help

help:  ## list the targets
	@echo "Usage: make TARGET [PYTHON=python3.11]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
		awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

env:  ## make .venv and install the pinned requirements
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
		echo "There is no command \"$(PYTHON)\" here: name a Python with PYTHON=..." >&2; exit 1; }
	@DSOD_VENV="$(VENV)" "$(PYTHON)" tools/make_env.py $(CHOSEN)

data: env  ## render the stand-in data set (kept under data/)
	@$(BIN) -m dsod_d2l data standin

book: data  ## build the HTML pages from the stored outputs
	@rm -rf _build
	$(VENV)/bin/jupyter-book build . -n -W --keep-going -q
	@echo "The book is built: $(CURDIR)/$(HTML)/index.html"
	@echo "Type \`make serve\` to read it at http://localhost:$(PORT)"

test: data  ## run the tests and compare every notebook output (ARGS="-k boxes" narrows it)
	$(PYTEST) -m "not slow" --doctest-modules --nbval dsod_d2l tests book $(ARGS)

test-all: data  ## run the slow tests as well, as CI does
	$(PYTEST) --doctest-modules --nbval dsod_d2l tests book $(ARGS)

test-quick: data  ## run the unit tests, and compare one chapter (for a second Python)
	$(PYTEST) --nbval tests book/01_anchors.ipynb \
		--ignore=tests/test_browser.py --ignore=tests/test_interactive.py \
		--ignore=tests/test_try_it.py --ignore=tests/test_offset_sliders.py \
		--ignore=tests/test_pages_pieces.py \
		--deselect=tests/test_book.py $(ARGS)

test-outputs: data  ## compare the outputs of all chapters (ARGS="-k targets" narrows it)
	$(PYTEST) --nbval book $(ARGS)

test-cuda-build: env  ## fetch the GPU build (2.1 GB) and compute with it, on the CPU
	DSOD_GPU_BUILD=1 $(BIN) -m pytest -rs tests/test_runtime_gpu.py $(ARGS)

test-kill: data  ## kill training runs at 100 random moments, resume, compare (15 minutes)
	$(BIN) benchmarks/kill.py $(ARGS)

test-hostile: data  ## give every reader 10,000 damaged or hostile files (half an hour)
	$(BIN) benchmarks/hostile.py $(ARGS)

serve:  ## show the built book in a browser (PORT=8000)
	@test -f $(HTML)/index.html || { echo "Nothing is built yet: run \`make book\` first." >&2; exit 1; }
	@echo "Open http://localhost:$(PORT) in a browser; Ctrl-C ends it."
	@$(BIN) -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

lab: data  ## open the notebooks in JupyterLab
	@PYTHONPATH="$(CURDIR)" $(BIN) -m jupyterlab --notebook-dir=book \
		$$([ "$$(id -u)" != 0 ] || echo --allow-root)

notebooks: data  ## write the library cells, run every notebook anew and store its outputs
	$(BIN) tools/write_library_cells.py --all
	$(BIN) tools/run_notebooks.py --all

lint: env  ## check the code: faults, imports, types, and the counts of the house
	$(VENV)/bin/ruff check .
	$(VENV)/bin/isort --check dsod_d2l
	$(VENV)/bin/mypy
	$(BIN) tools/house.py
	$(BIN) tools/write_interface.py --check

quick: lint  ## lint, and the tests of what is small: some minutes (CI's quick job)
	$(BIN) -m pytest -rs tests/test_house.py tests/test_interface.py tests/test_contributing.py \
		tests/test_boxes.py tests/test_anchors.py tests/test_targets.py tests/test_detection.py \
		tests/test_evaluation.py tests/test_config.py tests/test_setup.py $(ARGS)

check: lint  ## lint, and check outputs, notebook rules, spelling and links
	$(BIN) tools/run_notebooks.py --all --check
	$(BIN) tools/notebook_rules.py --all
	$(BIN) tools/write_library_cells.py --all --check
	$(BIN) tools/check_numbers.py --all
	$(BIN) tools/check_spelling.py
	$(BIN) tools/check_links.py
	$(BIN) tools/stamp_repository.py --check

interface: env  ## write the page of the interface from the docstrings
	$(BIN) tools/write_interface.py

stamp: env  ## write the repository's address of _config.yml into notebooks and README
	$(BIN) tools/stamp_repository.py

release: check  ## check, write version and date, stamp, commit and tag (VERSION=0.2.0); pushes nothing
	@$(BIN) tools/release.py $(VERSION)

clean:  ## remove what was built; .venv and data stay
	@rm -rf _build build dist *.egg-info .pytest_cache
	@find . -name __pycache__ -not -path './.venv*/*' -prune -exec rm -rf {} +

distclean: clean  ## remove .venv and the rendered data as well
	@rm -rf .venv .venv-* .packages data/standin
