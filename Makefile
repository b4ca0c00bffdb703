# The course in two commands: `make lab` opens it, `make test` proves it.
PYTHON ?= python3
LANGUAGE ?= en
BIN := .venv/bin
# Engines import thousands of modules in several processes: keep what Python compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: lab test setup bench upgrade lint

lab: setup  ## set up what is missing, then open the course: make lab LANGUAGE=zh_TW PORT=8890
	@$(BIN)/servelab lab --language "$(LANGUAGE)" $(if $(PORT),--port $(PORT))

setup:  ## make .venv and the model ready; nothing to do the second time
	@$(PYTHON) servelab/setup/bootstrap.py

test:  ## set up, then run everything that can run on this machine
	@$(PYTHON) servelab/setup/bootstrap.py --tests
	@$(BIN)/python -m pytest -n 2 $(ARGS)

bench: setup  ## measure and stamp assets/records: make bench NAME=launch
	@$(BIN)/servelab bench $(or $(NAME),all)

upgrade: setup  ## refresh the pinned versions
	@$(BIN)/python -m servelab.setup.upgrade

lint:
	@$(BIN)/ruff check servelab autograder tests && $(BIN)/ruff format --check servelab autograder tests
