# make demo: predicts the pictures in demo/.   make test: runs every test.
# Both set up .venv first. Another Python: make demo PYTHON=python3.13

# The first interpreter that can run the project, else whatever python3 is, which then says why not.
PYTHON ?= $(or $(shell for python in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$python check_python.py >/dev/null 2>&1 && echo $$python && break; done),python3)
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
INSTALLED_DEV := $(VENV)/installed_dev

.PHONY: demo test lint clean

demo: $(INSTALLED)
	$(RUN) run_predict.py --input demo --output output/demo
	@echo "Look at the pictures in output/demo: *_overlay.png, *_tpose.png and *_proxy.png"

test: $(INSTALLED_DEV)
	$(RUN) -m pytest

lint: $(INSTALLED_DEV)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# Running needs less than testing, so each has its own mark of being installed. The environment is
# made anew when requirements.txt changes: two builds of one library must not lie in it.
$(INSTALLED): requirements.txt
	@$(PYTHON) check_python.py
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(INSTALLED)

$(INSTALLED_DEV): requirements-dev.txt $(INSTALLED)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $(INSTALLED_DEV)

clean:
	rm -rf $(VENV) output
