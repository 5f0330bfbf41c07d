# make demo: predicts the pictures in demo/.   make test: runs every test.
# Both set up .venv first. Another Python: make demo PYTHON=python3.11

# The first interpreter that can run the project, else whatever python3 is, which then says why not.
PYTHON ?= $(or $(shell for python in python3 python3.11 python3.12 python3.10 python; do \
	$$python check_python.py >/dev/null 2>&1 && echo $$python && break; done),python3)
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed

.PHONY: demo test lint clean

demo: $(INSTALLED)
	$(RUN) run_predict.py --input demo --output output/demo
	@echo "Look at the pictures in output/demo: *_overlay.png, *_tpose.png and *_proxy.png"

test: $(INSTALLED)
	$(RUN) -m pytest

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# Where the system has no libGL, mediapipe's opencv cannot be imported; its headless twin can.
$(INSTALLED): requirements.txt
	@$(PYTHON) check_python.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(RUN) -c "import cv2" 2>/dev/null || { \
		$(RUN) -m pip uninstall --quiet --yes opencv-contrib-python && \
		$(RUN) -m pip install --quiet --disable-pip-version-check \
			opencv-contrib-python-headless==4.11.0.86; }
	@touch $(INSTALLED)

clean:
	rm -rf $(VENV) output
