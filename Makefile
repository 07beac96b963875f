# Every target hands its work to .make/env.py, which keeps the environment in .venv and can also be called
# without make (Windows: py .make\env.py lab). `make` alone says what there is.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
else
PYTHON ?= python3
endif

# More arguments for what is run: make test ARGS="-k engine"
ARGS ?=

# Run it rather than look for it: what is on PATH may be an empty shell (pyenv's, or the Microsoft Store's).
# (`|| echo`, because make itself prints an error when a command in $(shell) is not found.)
python_runs = $(filter yes,$(shell $(PYTHON) -c "print('yes')" 2>&1 || echo no))
run = $(if $(python_runs),,$(error There is no working $(PYTHON) here: install Python 3.11, 3.12 or 3.13 \
from https://www.python.org/downloads/, or name yours with make $@ PYTHON=...))$(PYTHON) .make/env.py

.DEFAULT_GOAL := help
.PHONY: help setup lab test bench gpt-gpu speedrun notebooks lint clean

help setup lab test bench gpt-gpu speedrun notebooks lint clean:
	@$(run) $@ $(ARGS)
