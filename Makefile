# Everything a person or a machine does with this repository. `make help` lists it.
# All that it needs is Python 3.11 to 3.14, make and git; it keeps to this folder and `.venv/`.

# Minor versions of Python 3 that pyproject.toml allows, the newest first.
BOUNDS := $(shell sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$$/\1 \2/p' pyproject.toml)
MINORS := $(shell seq $(lastword $(BOUNDS)) -1 $(firstword $(BOUNDS)) | sed 1d)
RANGE := Python 3.$(lastword $(MINORS)) to 3.$(firstword $(MINORS))
# Debian's Python has no ensurepip without python3-venv; one that was built by hand may lack the other two.
USABLE := import ensurepip, sqlite3, ssl, sys; sys.exit(f"3.{sys.version_info[1]}" not in "$(MINORS:%=3.%)".split())

PYTHON ?= $(shell for p in $(MINORS:%=python3.%) python3 python; do \
	"$$p" -c '$(USABLE)' 2>/dev/null && command -v "$$p" && break; done)
VENV := .venv/bin/python
UV = uv==0.13.9
CLASSROOM := .venv/classroom/bin/python
NEWEST := .venv/newest/bin/python
PYTEST := -m pytest -n 3 --no-loadscope-reorder --nbval
TESTS = tests notebooks solutions
# `make check` runs these, and the targets that begin with it leave them out of their own run.
CHECKED = tests/test_imports.py tests/test_style.py

# A HOME that is missing or not writable would stop uv, pip and Jupyter alike.
ifneq ($(shell test -d "$$HOME" && test -w "$$HOME" && echo usable),usable)
export HOME := $(CURDIR)/.venv/home
endif

# uv has settings of its own and does not read pip's: whoever told pip where to look has told uv too.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

# Without bytecode files, each kernel and each process of the tests compiles everything that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help .venv classroom nbgrader lab copies watch answers test quick pythons check build slides card instructors exercise bench soak hub-test docs pins newest clean

help:  ## list the targets
	@sed -n 's/^\([a-z.-]*\):.*##  *\(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.venv: .venv/.done  ## install what a learner needs into .venv, by uv

define own_python
{ "$(PYTHON)" -c '$(USABLE)' && "$(PYTHON)" -m venv .venv; } || \
	{ echo "$(PYTHON) is not $(RANGE), or has no venv, sqlite3 or ssl module. Name another one: make .venv PYTHON=/path/to/python3.$(firstword $(MINORS))" >&2; exit 1; }
endef

# uv downloads a Python where there is none; any other Python 3 can install uv.
define managed_python
{ echo "There is no $(RANGE) here. Trying to download one with uv."; \
	export UV_PYTHON_INSTALL_DIR="$(CURDIR)/.venv/python" PATH="$(CURDIR)/.venv/uv/bin:$$PATH"; \
	{ command -v uv || { python3 -m venv .venv/uv && .venv/uv/bin/python -m pip install --quiet $(UV); }; } >/dev/null 2>&1; \
	uv venv --quiet --allow-existing --seed --managed-python --python 3.$(firstword $(MINORS)) .venv 2>/dev/null || \
	{ echo "No Python could be downloaded. Install $(RANGE) (on Debian: apt-get install python3 python3-venv), or name one: make .venv PYTHON=/path/to/python3.$(firstword $(MINORS))" >&2; exit 1; }; }
endef

# pip stands in where uv cannot reach what pip.conf alone knows of.
.venv/.done: requirements.txt pyproject.toml
	@test -x $(VENV) || $(if $(PYTHON),$(own_python),$(managed_python))
	mkdir -p "$$HOME"
	$(VENV) -m pip install --quiet $(UV)
	$(VENV) -m uv pip install --quiet --python $(VENV) --requirement requirements.txt || $(VENV) -m pip install --quiet --requirement requirements.txt
	$(VENV) -m uv pip install --quiet --python $(VENV) --no-deps --editable . || $(VENV) -m pip install --quiet --no-deps --editable .
	touch $@

# What only tests need is beside it, so that a learner does not download a browser driver and type checkers.
.venv/test.done: tests/requirements.txt .venv/.done
	$(VENV) -m uv pip install --quiet --python $(VENV) --requirement tests/requirements.txt || $(VENV) -m pip install --quiet --requirement tests/requirements.txt
	touch $@

classroom: .venv/classroom/.done  ## install nbgrader, JupyterHub and repo2docker into .venv/classroom, beside the learner's .venv

.venv/classroom/.done: harness/classroom/requirements.txt .venv/.done
	test -x $(CLASSROOM) || $(VENV) -m venv .venv/classroom
	$(VENV) -m uv pip install --quiet --python $(CLASSROOM) --requirement harness/classroom/requirements.txt || $(CLASSROOM) -m pip install --quiet --requirement harness/classroom/requirements.txt
	$(VENV) -m uv pip install --quiet --python $(CLASSROOM) --no-deps --editable . || $(CLASSROOM) -m pip install --quiet --no-deps --editable .
	echo "[]" | $(CLASSROOM) -m harness.classroom.grading >/dev/null  # write bytecode, because grading only reads it
	touch $@

nbgrader: classroom  ## lay out a course folder for nbgrader in build/nbgrader; submissions and grades in it stay
	$(CLASSROOM) -m harness nbgrader build/nbgrader

.venv/hub/.done: .venv/classroom/.done
	@command -v npm >/dev/null && command -v node >/dev/null || { echo "There is no Node.js here, which JupyterHub's proxy needs: install node and npm (on Debian: apt-get install nodejs npm)." >&2; exit 1; }
	npm install --silent --no-fund --no-audit --prefix .venv/hub configurable-http-proxy@5.3.0
	touch $@

lab: .venv  ## open your copies of the course, in my-course/, in JupyterLab
	@$(VENV) -m harness lab

copies: .venv  ## make your copies of the course without JupyterLab
	@$(VENV) -m harness copies

watch: .venv  ## check each exercise as it is saved, in a terminal beside JupyterLab
	@$(VENV) -m harness watch

answers: .venv  ## copy your answers from my-course/ into exercises/, which your CI checks
	@$(VENV) -m harness answers

test:  ## run every test: unit, contract, notebooks, exercises, browser
	@$(MAKE) --no-print-directory --jobs=3 --output-sync check classroom .venv/reveal/.done .venv/axe/.done .venv/node-client/.done .venv/py4web/.done
	$(VENV) $(PYTEST) $(CHECKED:%=--ignore=%) $(TESTS)

# Each marker is explained in pyproject.toml.
QUICK = not browser and not notebook and not classroom

quick: check  ## the tests that need no browser, no notebook run and no classroom environment
	$(VENV) -m pytest -n 2 -m "$(QUICK)" $(CHECKED:%=--ignore=%) tests

# Those of pyenv that are not active are not on PATH.
pythons: .venv/test.done  ## the tests of `make quick`, and all notebooks, on the other supported Pythons of this machine
	@set -e; for minor in $(MINORS); do \
	! $(VENV) -c "import sys; sys.exit(sys.version_info[1] != $$minor)" || continue; \
	for found in python3.$$minor "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.$$minor.*/bin/python none; do \
		"$$found" -c '$(USABLE)' 2>/dev/null && break; done; \
	test "$$found" != none || { echo "There is no Python 3.$$minor here."; continue; }; \
	echo "On Python 3.$$minor:"; python=.venv/3.$$minor/bin/python; \
	test -x $$python || "$$found" -m venv .venv/3.$$minor; \
	$(VENV) -m uv pip install --quiet --python $$python --requirement tests/requirements.txt; \
	$(VENV) -m uv pip install --quiet --python $$python --no-deps --editable .; \
	$$python -m pytest -n 2 -m "$(QUICK)" tests; \
	$$python $(PYTEST) notebooks solutions; \
	done

check: .venv/test.done  ## ruff, mypy --strict, the table of imports
	$(VENV) -m ruff check .
	$(VENV) -m mypy
	$(VENV) -m pytest --quiet $(CHECKED)

build: .venv  ## run all notebooks, rebuild exercises/ from solutions/, and INSTRUCTORS.md
	$(VENV) -m harness build
	$(VENV) -m harness instructors --answers tests/answers

# reveal.js, which the slides need, is in the package of a Sphinx theme; Sphinx itself stays out.
REVEAL = sphinx-revealjs==3.2.1

.venv/reveal/.done: .venv/.done
	$(VENV) -m uv pip install --quiet --no-deps --target .venv/reveal "$(REVEAL)" || $(VENV) -m pip install --quiet --no-deps --upgrade --target .venv/reveal "$(REVEAL)"
	touch $@

# axe-core checks the accessibility of a page. Only one browser test needs it. Without axe-core, this test is skipped.
AXE = axe-core@4.14.1

.venv/axe/.done: .venv/.done
	@npm install --silent --no-fund --no-audit --prefix .venv/axe $(AXE) && touch $@ || \
	echo "axe-core isn't installed, so the test of accessibility is skipped. It needs npm (on Debian: apt-get install nodejs npm) and the network." >&2

# Google's Cloud Tasks client for Node.js. Only tests/cloudtasks/test_node_client.py needs it, and is skipped without it.
NODE_CLIENT = @google-cloud/tasks@6.3.0

.venv/node-client/.done: .venv/.done
	@npm install --silent --no-fund --no-audit --prefix .venv/node-client $(NODE_CLIENT) && touch $@ || \
	echo "@google-cloud/tasks isn't installed, so the tests of Cloud Tasks with Node.js are skipped. The installation needs npm (on Debian: apt-get install nodejs npm) and the network." >&2

# py4web needs other versions of some packages, so it has an environment of its own, which also has Google's client.
# One test in tests/serve/test_programs.py needs this environment. Without it, the test is skipped.
PY4WEB = py4web==1.20260805.0

.venv/py4web/.done: .venv/.done
	@{ test -x .venv/py4web/bin/python || $(VENV) -m venv .venv/py4web; } && \
	$(VENV) -m uv pip install --quiet --python .venv/py4web/bin/python "$(PY4WEB)" "$$(sed -n 's/^\(appengine-python-standard==[^ ]*\).*/\1/p' requirements.txt)" && touch $@ || \
	echo "$(PY4WEB) isn't installed, so its test is skipped. The installation needs the network." >&2

# The benchmark compares this emulator of Cloud Tasks with ours. Its own environment has the older packages that it needs.
RIVAL = gcloud-tasks-emulator==0.6.2

.venv/emulator/.done: .venv/.done
	@{ test -x .venv/emulator/bin/python || $(VENV) -m venv .venv/emulator; } && \
	$(VENV) -m uv pip install --quiet --python .venv/emulator/bin/python "$(RIVAL)" && touch $@ || \
	echo "$(RIVAL) isn't installed, so the benchmark leaves it out." >&2

slides: .venv .venv/reveal/.done  ## make reveal.js slides of the lessons, with build/slides/index.html
	$(VENV) -m harness slides --answers tests/answers

# The public names: what `import harness` gives, the modules whose classes it raises and returns, and pytest's fixtures.
API = harness '!harness\.' harness.errors harness.records harness.queue_console harness.testing.plugin

docs: .venv/test.done  ## draw the pictures of harness/README.md, and write the API reference into build/docs
	$(VENV) -m tests.support.rooms
	$(VENV) -W error -m pdoc $(API) --docformat google --output-directory build/docs

card: .venv  ## print the reference card as build/card.pdf (two pages); needs Chromium
	$(VENV) -m harness card

instructors: .venv  ## write notebooks/INSTRUCTORS.md from the course
	$(VENV) -m harness instructors --answers tests/answers

exercise: .venv  ## scaffold a new exercise (NUMBER=2.6); CONTRIBUTING.md walks through it
	@$(VENV) -m harness exercise "$(NUMBER)"

bench: .venv/test.done .venv/emulator/.done  ## measure against bare web2py
	$(VENV) -m tests.bench

soak: .venv/test.done .venv/axe/.done  ## the long tests: generated sequences, thousands of tasks
	HARNESS_SOAK=2000 $(VENV) -m pytest -n 2 tests/appengine/dispatcher/test_soak.py tests/test_many_labs.py tests/appengine/taskqueue/test_stub_comparison.py tests/appengine/taskqueue/test_queue_yaml.py tests/appengine/taskqueue/test_add_bad_input.py tests/classroom/grading/test_forged_replies.py tests/classroom/grading/test_solutions_in_isolation.py tests/test_any_arguments.py tests/notebooks/test_any_notebook.py tests/cloudtasks/test_same_queues.py tests/browser/test_browser.py tests/browser/test_accessibility.py tests/course/test_mutants.py tests/course/test_generated.py tests/course/test_exercises.py tests/course/test_patterns.py tests/classroom/test_new_exercise.py tests/testing tests/serve/test_engine.py tests/serve/test_programs.py tests/serve/test_kills_and_rates.py

hub-test: .venv/hub/.done .venv/test.done  ## twenty learners at once on a JupyterHub of this machine (LEARNERS=20)
	$(VENV) -m tests.hub $(if $(LEARNERS),--learners $(LEARNERS))

COMPILE = $(VENV) -m uv pip compile --quiet --universal --generate-hashes --python-version 3.$(firstword $(BOUNDS)) --no-annotate --custom-compile-command "make pins"

pins: .venv  ## compile the two requirements.txt and environment.yml from pyproject.toml
	$(COMPILE) --output-file requirements.txt pyproject.toml
	$(COMPILE) --extra test --constraint requirements.txt --output-file tests/requirements.txt pyproject.toml
	$(COMPILE) --extra classroom --constraint requirements.txt --output-file harness/classroom/requirements.txt pyproject.toml
	{ sed '/- pip:$$/q' environment.yml; sed -n 's/^\([a-z][^\\]*[^\\ ]\).*/      - "\1"/p' requirements.txt; } > .venv/environment.yml
	cp .venv/environment.yml environment.yml

# What differs from the pins stands first, so that a failure can be told from its cause.
newest: classroom .venv/test.done .venv/reveal/.done .venv/axe/.done .venv/node-client/.done .venv/py4web/.done  ## test with the newest dependencies that pyproject.toml allows, in .venv/newest (TESTS=... for a part)
	rm -rf .venv/newest
	$(VENV) -m venv .venv/newest
	$(VENV) -m uv pip install --quiet --python $(NEWEST) --upgrade --editable ".[test]"
	$(VENV) -m uv pip freeze --exclude-editable --python $(NEWEST) > .venv/newest/installed.txt
	@echo "Not as in requirements.txt:"; sed 's/ [;\\].*//' tests/requirements.txt | grep -vxF -f - .venv/newest/installed.txt || echo "  nothing"
	$(NEWEST) $(PYTEST) $(TESTS)

clean:  ## remove everything that the other targets made; submissions and grades in build/nbgrader stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist *.egg-info
	test ! -d build || find build -mindepth 1 -maxdepth 1 ! -name nbgrader -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +
