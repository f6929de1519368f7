# The commands of the project. Everything they need is made by ./bootstrap: only Python 3.11 or
# newer, make and a package index are assumed. Paths are relative, so a path with spaces is fine.
#   make run ARGS="--port 9000"      arguments of `tierce up`
#   make test ARGS="-k ledger"       arguments of pytest
#   make torture ARGS="--minutes 10 --seed 7"
#   make run PYTHON=/path/to/python  the Python that makes .venv
.POSIX:
.PHONY: help run demo test torture bench check format lock clean

help:
	@echo 'make run     start Tierce here, play the main job once, stay up until Ctrl-C'
	@echo 'make demo    the same, then stop'
	@echo 'make test    all tests, on embedded servers'
	@echo 'make torture  kill, cut, fill and delay everything under load; is anything lost?'
	@echo 'make bench   what it does per second and what it costs as tables grow, against targets'
	@echo 'make check   lint, format, types and the arrows between rooms'
	@echo 'make format  put the code into the one format'
	@echo 'make lock    write requirements/*.lock anew'
	@echo 'make clean   remove .venv and caches; the data in .tierce stay'

run:
	@PYTHON='$(PYTHON)' ./bootstrap runtime
	@.venv/bin/python -m service.cli up $(ARGS)

demo:
	@PYTHON='$(PYTHON)' ./bootstrap runtime
	@.venv/bin/python -m service.cli up --once $(ARGS)

test:
	@PYTHON='$(PYTHON)' ./bootstrap dev
	@.venv/bin/python -m pytest -n auto $(ARGS)

torture:
	@PYTHON='$(PYTHON)' ./bootstrap dev
	@.venv/bin/python -m tests.torture $(ARGS)

bench:
	@PYTHON='$(PYTHON)' ./bootstrap dev
	@.venv/bin/python -m tests.bench $(ARGS)

check:
	@PYTHON='$(PYTHON)' ./bootstrap dev
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy --strict
	.venv/bin/python -c 'from importlinter.cli import lint_imports_command as lint; lint()'

format:
	@PYTHON='$(PYTHON)' ./bootstrap dev
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m ruff format .

lock:
	@PYTHON='$(PYTHON)' ./bootstrap lock

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
