# One door: make demo | test | check | bench; make help names the rest. Each installs what it needs first (see README).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
PY := $(VENV)/bin/python
READY := .cache/ready
SYSTEM_PACKAGES := podman crun conmon uidmap nftables iproute2 e2fsprogs mmdebstrap busybox-static gcc python3-dev libgmp-dev libc6-dev pkg-config ca-certificates
# Tests alone: a server of their own, never the machine's; what signs releases.
TEST_PACKAGES := postgresql openssh-client
# A host in a virtual machine alone.
IMAGE_PACKAGES := qemu-system-x86 ovmf erofs-utils cryptsetup-bin dosfstools mtools fdisk openssh-client
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup system python chain-node slither demo test t test-fast test-deaths test-field test-hostile test-full-disk test-long test-image coverage wheel-test
.PHONY: check check-format check-prose check-lint check-types check-layers format bench contracts-test sim-economy
.PHONY: docs session wheel man bill deb test-deb node-image test-node-image release clean

help:  ## What there is.
	@sed -nE 's/^([a-z-]+):[^#]*## */\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: system python chain-node  ## Everything that demo, test and bench need.

system: $(READY)/system
python: $(READY)/python
chain-node: $(READY)/chain-node
slither: $(READY)/slither

# $(call install,PACKAGES): what is missing of them, by apt.
define install
@mkdir -p $(READY)
@missing=$$(for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
if [ -n "$$missing" ]; then \
  echo "installing system packages:" $$missing; \
  if [ "$$(id -u)" != 0 ]; then echo "run once as root: apt-get install" $$missing >&2; exit 1; fi; \
  DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >$(READY)/apt.log 2>&1 \
    || { tail -5 $(READY)/apt.log >&2; exit 1; }; \
fi
@touch $@
endef

$(READY)/system: Makefile
	$(call install,$(SYSTEM_PACKAGES))

$(READY)/test-system: Makefile
	$(call install,$(TEST_PACKAGES))

$(READY)/image-system: Makefile
	$(call install,$(IMAGE_PACKAGES))

$(READY)/python: requirements.lock pyproject.toml
	@mkdir -p $(READY)
	@echo "installing Python packages into $(VENV)"
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -q uv
	@$(VENV)/bin/uv pip sync -q --compile-bytecode --python $(PY) requirements.lock
	@$(VENV)/bin/uv pip install -q --python $(PY) --no-deps --no-build-isolation -e .
	@touch $@

# Not `npm ci`: it wants the packages of every platform in the lock, also of those the registry does not carry.
$(READY)/chain-node: contracts/package-lock.json
	@mkdir -p $(READY)
	@echo "installing the chain node and the contract tools into contracts/node_modules"
	@cd contracts && npm install --no-save --silent --no-audit --no-fund
	@touch $@

# slither wants versions of its own, and the daemon none of it.
$(READY)/slither: contracts/slither.lock | $(READY)/python
	@mkdir -p $(READY)
	@echo "installing slither into .cache/slither"
	@test -x .cache/slither/bin/python || $(PY) -m venv .cache/slither
	@$(VENV)/bin/uv pip sync -q --python .cache/slither/bin/python contracts/slither.lock
	@touch $@

demo: setup  ## The main job, end to end. make demo ARGS=--keep leaves the network up.
	@$(PY) -m examples.demo $(ARGS)

test: setup $(READY)/test-system slither  ## Everything CI runs, on real parts; as root, because containers are real.
	@$(PY) -m pytest $(ARGS)

t: python  ## Tests by a word of their name (not the end-to-end ones), or by path: make t K=voucher.
	@$(PY) -m pytest -q $(if $(findstring /,$(K)),$(K),-k '$(K)' tests --ignore=tests/e2e) $(ARGS)

CORE_TESTS := tests/metering tests/scheduler tests/xnode/node tests/sim

test-fast: python  ## The pure cores and the simulation; no root, no network.
	@$(PY) -m pytest -q $(CORE_TESTS) $(ARGS)

test-deaths: setup  ## kill -9 at every point of a job's flow on real parts; about fifteen minutes.
	@E2E=all $(PY) -m pytest tests/e2e $(ARGS)

test-field: setup  ## Default settings on a loaded host, minutes of kills and pauses; ARGS, FIELD_*: see docs/field.md.
	@$(PY) -m pytest -s -m field_long tests/field $(ARGS)

test-hostile: setup  ## Strangers at the doors of both sides under ten leases, ten minutes; ARGS, HOSTILE_*: see docs/hostile.md.
	@$(PY) -m pytest -s -m field_long tests/hostile $(ARGS)

test-full-disk: setup  ## Every writer meets a full and a broken disk at every one of its writes; about half an hour.
	@XNODE_DISK=all $(PY) -m pytest --timeout=0 tests/disk $(ARGS)

test-long: python  ## Ten thousand short jobs: what a node holds stays as it was; LONG_JOBS, LONG_HOME: see docs/long-run.md.
	@$(PY) -m tests.long.longrun --jobs $(or $(LONG_JOBS),10000) $(if $(LONG_HOME),--home '$(LONG_HOME)')

test-image: setup $(READY)/image-system  ## A provider on an immutable host in a virtual machine, an hour of it; see docs/boot-test.md.
	@$(PY) -m pytest -s -x -m image tests/image $(ARGS)

# Everything else in the suite runs in processes of its own or waits for real parts, where counting lines costs time and
# tells little.
coverage: python  ## test-fast again, counting: which lines of the cores no test runs.
	@COVERAGE_FILE=.cache/coverage $(VENV)/bin/coverage run -m pytest -q $(CORE_TESTS) $(ARGS)
	@COVERAGE_FILE=.cache/coverage $(VENV)/bin/coverage report

wheel-test: man chain-node  ## A wheel without extras in an environment of its own: every command works or says what it lacks.
	@$(PY) -m pytest -q tests/test_wheel.py $(ARGS)

.PHONY: nix-check nix-build nix-wheels
TEST_PACKAGES += nix-bin

nix-check: python $(READY)/test-system  ## The flake, the NixOS module and xnodeOS, without nixpkgs and offline; part of make test.
	@$(PY) -m pytest -q tests/nix $(ARGS)

nix-build: python $(READY)/test-system  ## The package, really built by nix from its wheels and run from the store; minutes.
	@sh nix/build.sh $(PY)

nix-wheels: python  ## nix/wheels.json anew, after a change of requirements.lock.
	@PATH=$(CURDIR)/$(VENV)/bin:$$PATH $(PY) nix/wheels.py

# Each is a target, so that they run side by side; -k: all that is wrong is shown, not only what comes first.
check: python  ## Format, lint, types, layers.
	@$(MAKE) -s -k -j4 -O check-format check-prose check-lint check-types check-layers

check-format: python
	@$(VENV)/bin/ruff format --check -q . || { echo "hint: make format" >&2; exit 1; }

check-prose: python
	@$(PY) .ci/prose.py --check

check-lint: python
	@$(VENV)/bin/ruff check -q .

check-types: python
	@$(VENV)/bin/mypy

check-layers: python
	@$(VENV)/bin/lint-imports --no-logo

format: python  ## Code and prose as check-format wants them.
	@$(VENV)/bin/ruff format -q .
	@$(VENV)/bin/ruff check -q --select I --fix .
	@$(PY) .ci/prose.py

contracts-test: chain-node  ## The contracts alone, by forge.
	@cd contracts && npx --no-install forge test

bench: setup  ## Ratios side by side; writes docs/benchmarks.md.
	@$(PY) -m tests.bench.run $(ARGS)

sim-economy: python chain-node  ## Solvency of credits over the real contracts; writes docs/economy.svg.
	@$(PY) -m examples.economy $(ARGS)

$(READY)/docs: docs/requirements.txt
	@mkdir -p $(READY)
	@echo "installing the docs site's builder into .cache/docs"
	@test -x .cache/docs/bin/python || python3 -m venv .cache/docs
	@.cache/docs/bin/pip install -q --require-hashes -r docs/requirements.txt
	@touch $@

# Copied as they lie here, so that links between pages are the same on the site and in the repository.
PAGES = *.md LICENSE docs/*.md docs/*.svg docs/*.cast docs/*.css contracts/README.md contracts/plan.example.toml contracts/src/interfaces/*.sol

docs: $(READY)/docs  ## The docs site, into build/site; needs no network but for its first installation.
	@rm -rf build/docs build/site && mkdir -p build/docs/pages
	@cp mkdocs.yml build/docs/ && cp --parents $(PAGES) build/docs/pages/
	@.cache/docs/bin/zensical build --strict -f build/docs/mkdocs.yml
	@mv build/docs/site build/site

session: setup  ## The picture of a session in README, recorded anew on a real network.
	@$(PY) -m examples.record $(ARGS)

man: python  ## The man page of every command, into build/xnode.1.
	@mkdir -p build
	@$(PY) -m xnode.cli.manual > build/xnode.1

bill: python  ## The bill of materials (CycloneDX), into build/xnode.cdx.json.
	@mkdir -p build
	@$(PY) -m packages.bill > build/xnode.cdx.json

# UV_BUILD builds a wheel into the folder named after it.
UV_BUILD = $(VENV)/bin/uv build -q --no-build-isolation --python $(PY) --out-dir

wheel: man  ## A wheel with the contracts and the manual inside, into build/dist.
	@rm -rf build/dist
	@$(UV_BUILD) build/dist --wheel
	@ls build/dist/*.whl

SUITES := bookworm trixie

deb: system wheel  ## Packages for Debian 12 and 13, into build/dist; as root. SUITES=trixie for one of them.
	@for suite in $(SUITES); do $(PY) -m packages.debian.build build/dist/xnode-*.whl $$suite; done

test-deb: system  ## The packages of `make deb`, installed, upgraded over BEFORE=FILE, removed; on clean roots, as root.
	@for deb in build/dist/xnode_*.deb; do $(PY) -m packages.debian.trial $$deb $(BEFORE); done

NODE_IMAGE := .cache/images/node

node-image: system  ## An image of a node that buys, of the package in build/dist for this Debian, into build/dist.
	@$(PY) -m images.node.build build/dist/xnode_*+deb$$(. /etc/os-release; echo $$VERSION_ID)_*.deb $(NODE_IMAGE)
	@tar -C $(NODE_IMAGE) --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf build/dist/xnode-node.oci.tar \
	  oci-layout index.json blobs

test-node-image: system  ## That image, run by podman: not as root, over a read-only root, its node against a chain.
	@$(PY) -m images.node.trial build/dist/xnode-node.oci.tar

release: man  ## All that is published, signed by KEY=FILE, into build/dist: see docs/packages.md.
	@rm -rf build/dist build/manifest.sha256.sig
	@$(UV_BUILD) build/dist --sdist --wheel
	@if [ -n "$(KEY)" ]; then \
	  $(PY) -m packages.release sign-manifest build/dist/xnode-*.whl "$(KEY)" build/manifest.sha256.sig; \
	  XNODE_MANIFEST_SIGNATURE="$$PWD/build/manifest.sha256.sig" $(UV_BUILD) build/dist --wheel; \
	fi
	@for suite in $(SUITES); do $(PY) -m packages.debian.build build/dist/xnode-*.whl $$suite; done
	@$(MAKE) -s node-image bill
	@cp build/xnode.cdx.json build/dist/
	@$(PY) -c 'from pathlib import Path; from packages.lock import make_constraints; print(make_constraints(Path()), end="")' \
	  > build/dist/constraints.txt
	@$(PY) -m packages.release sums build/dist $(KEY)
	@cat build/dist/SHA256SUMS

clean:  ## Take away build, caches and what is installed in them; .venv stays.
	@rm -rf .cache build .pytest_cache .mypy_cache .ruff_cache
