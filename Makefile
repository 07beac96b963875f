# Every target hands its work to tools/env.py, which keeps the environment in .venv and can also be called
# without make (Windows: py tools\env.py lab). `make` alone shows what there is.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
else
PYTHON ?= python3
endif

# Further arguments for what is run: make test ARGS="-k engine"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup lab test bench gpt-gpu speedrun notebooks lint clean

help setup lab test bench gpt-gpu speedrun notebooks lint clean:
	@$(PYTHON) tools/env.py $@ $(ARGS)
