# Two commands do all the set-up: make certify, make test.
VENV := .venv
BIN := $(VENV)/bin
EXTRAS_use := report
EXTRAS_test := dev
EXTRAS_lanes := dev,lanes,report

PACKAGES := gcc iproute2 qemu-system-arm ser2net socat tftpd-hpa u-boot-qemu \
	bc bison can-utils flex libc6-dev libelf-dev libssl-dev qemu-system-x86 xz-utils \
	busybox-static docker.io docker-registry skopeo softhsm2 fonts-wqy-microhei chromium \
	e2fsprogs gcc-aarch64-linux-gnu gcc-arm-none-eabi gcc-riscv64-linux-gnu libc6-dev-arm64-cross \
	libc6-dev-riscv64-cross picolibc-arm-none-eabi qemu-system-misc

LANES := realtime bench guests containers boards network proofs
LANES_SINCE := $(shell date +%s)

.PHONY: constraints release-check certify campaign test test-all $(LANES:%=test-%) packages bench dockerd mutants scenarios clean

certify: $(VENV)/for-use  ## certify the reference ECUs of two vendors on the simulated rig; reports and matrix
	$(BIN)/shipei demo

campaign: $(VENV)/for-use  ## every virtual combination, simulated, hub, kernel CAN, containers, emulated boards; its matrix
	docker version >/dev/null 2>&1 || $(BIN)/python -m shipei.dockerd
	$(BIN)/shipei images build runs/virtual --campaign
	$(BIN)/shipei campaign runs/virtual/campaign.yaml --campaigns runs/campaigns

test: $(VENV)/for-test  ## what CI runs: lint, types, unit, smoke; no system package but a compiler
	LANES_SINCE=$(LANES_SINCE) $(BIN)/python -m tools.lanes lint types unit smoke

test-all: $(VENV)/for-lanes  ## every lane, one after another; the slow ones need `make packages`
	LANES_SINCE=$(LANES_SINCE) $(BIN)/python -m tools.lanes lint types unit smoke $(LANES)

$(LANES:%=test-%): $(VENV)/for-lanes  ## one slow lane
	$(BIN)/python -m tools.lanes $(@:test-%=%)

release-check: test-all      ## every lane green, and no result stale: of lanes as of defective builds
	$(BIN)/python -m tools.lanes --stale

packages:                    ## Debian, as root: what the tests of benches need beside Python
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(PACKAGES)

bench: $(VENV)/for-lanes  ## the figures of the README, beside their peers
	$(BIN)/python -m benchmarks

dockerd: $(VENV)/for-use  ## as root: a container engine of our own for container rigs, where none runs
	$(BIN)/python -m shipei.dockerd

mutants: $(VENV)/for-test  ## every defective build and its twin; docs/mutants.md (resumes where it was stopped)
	$(BIN)/python -m tools.mutation

scenarios: $(VENV)/for-test  ## docs/scenarios.md with its pictures
	$(BIN)/python -m tools.scenario_page

$(VENV)/for-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --retries 10 --no-compile --constraint constraints.txt --editable ".[$(EXTRAS_$*)]"
	touch $@

constraints:                 ## constraints.txt: every version that the project is tested with, as of today
	rm -rf build/fresh && python3 -m venv build/fresh
	build/fresh/bin/python -m pip install --quiet --retries 10 --editable ".[$(EXTRAS_lanes)]"
	build/fresh/bin/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) .tox build dist runs sweeps
