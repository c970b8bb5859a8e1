# Two commands do all the set-up: make certify, make test.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

PACKAGES := gcc iproute2 qemu-system-arm ser2net socat tftpd-hpa u-boot-qemu \
	bc bison can-utils flex libc6-dev libelf-dev libssl-dev qemu-system-x86 xz-utils \
	busybox-static docker.io docker-registry skopeo softhsm2 fonts-wqy-microhei chromium \
	e2fsprogs gcc-aarch64-linux-gnu gcc-arm-none-eabi gcc-riscv64-linux-gnu libc6-dev-arm64-cross \
	libc6-dev-riscv64-cross picolibc-arm-none-eabi qemu-system-misc

LANES := realtime bench guests containers boards network proofs
LANES_SINCE := $(shell date +%s)

.PHONY: certify campaign test test-all $(LANES:%=test-%) packages bench dockerd mutants scenarios clean

certify: $(STAMP)            ## certify the reference ECUs of two vendors on the simulated rig; reports and matrix
	$(BIN)/shipei demo

campaign: $(STAMP)           ## every virtual combination, simulated, hub, kernel CAN, containers, emulated boards; its matrix
	docker version >/dev/null 2>&1 || $(BIN)/python -m rigs.dockerd
	$(BIN)/shipei images build runs/virtual --campaign
	$(BIN)/shipei campaign runs/virtual/campaign.yaml --campaigns runs/campaigns

test: $(STAMP)               ## what CI runs: lint, types, unit, smoke; no system package but a compiler
	LANES_SINCE=$(LANES_SINCE) $(BIN)/python -m tools.lanes lint types unit smoke

test-all: $(STAMP)           ## every lane, one after another; the slow ones need `make packages`
	LANES_SINCE=$(LANES_SINCE) $(BIN)/python -m tools.lanes lint types unit smoke $(LANES)

$(LANES:%=test-%): $(STAMP)  ## one slow lane
	$(BIN)/python -m tools.lanes $(@:test-%=%)

packages:                    ## Debian, as root: what the tests of benches need beside Python
	apt-get update -q
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(PACKAGES)

bench: $(STAMP)              ## the figures of the README, beside their peers
	$(BIN)/python -m benchmarks

dockerd: $(STAMP)            ## as root: a container engine of our own for container rigs, where none runs
	$(BIN)/python -m rigs.dockerd

mutants: $(STAMP)            ## every defective build and its twin; docs/mutants.md (resumes where it was stopped)
	$(BIN)/python -m tests.mutation

scenarios: $(STAMP)          ## docs/scenarios.md with its pictures
	$(BIN)/python -m tests.scenario_page

$(STAMP): pyproject.toml
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --retries 10 --upgrade-strategy only-if-needed --editable ".[dev,report]"
	touch $@

clean:
	rm -rf $(VENV) .tox build dist runs sweeps
