# What it takes: git, Rust 1.95, a C compiler, make, and Python 3 with pip (to fetch ONNX Runtime, once).
# Everything builds in the release profile, so that the demo and the tests share what they compile.

CARGO ?= cargo
MODEL := data/model
# Of ONNX Runtime, for the tests and the peers; the simbert command turns it off by itself.
export ORT_DISABLE_TELEMETRY := 1
SIMBERT := $(CARGO) run --release --locked --quiet --

.DEFAULT_GOAL := help
.PHONY: help vendor build model demo test test-python test-browser stubs-python contract crash fuzz deny bench bench-ann bench-bank bench-growth bench-encode bench-generate bench-half bench-beams bench-serve bench-train soak train clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "make %-14s %s\n", $$1, $$2 }'

vendor: ## Fetch ONNX Runtime into vendor/, unless it is there.
	@scripts/fetch-onnxruntime.sh

build: vendor ## Build the simbert command: target/release/simbert.
	$(CARGO) build --release --locked

model: build $(MODEL)/encoder.onnx ## Export the bundled model's graphs, unless they are there and newer than what they are made of.

# The stamp's source names the format of the graphs: another format, another export.
$(MODEL)/encoder.onnx: $(MODEL)/model.safetensors $(MODEL)/config.json $(MODEL)/tokenizer.json src/onnx/stamp.rs
	$(SIMBERT) export $(MODEL)

$(MODEL)/encoder.int8.onnx: $(MODEL)/model.safetensors $(MODEL)/config.json $(MODEL)/tokenizer.json src/onnx/stamp.rs
	$(SIMBERT) export --int8 $(MODEL)

demo: build ## Index the bundled FAQ bank, then search it, reword questions and serve.
	$(SIMBERT) demo

test: model ## Check the formatting, the lints and the documentation, and run every test.
	$(CARGO) fmt --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --no-deps
	$(CARGO) test --release --locked

# SIMBERT_BINARY=path tests against a server that is there already, and builds none.
test-python: target/python $(if $(SIMBERT_BINARY),,model) ## Check and test the Python client against the real server. Fetches grpcio and tools with pip.
	cd clients/python && $(PYTHON)/ruff format --check . && $(PYTHON)/ruff check . && $(PYTHON)/mypy && $(PYTHON)/pytest

# Needs Chromium and its driver: `apt-get install chromium chromium-driver`. Pictures of the page go to target/console.
# SIMBERT_BINARY=path as above; TESTS="-k map" chooses some.
test-browser: target/browser $(if $(SIMBERT_BINARY),,model) ## Test the console page in headless Chromium. Fetches selenium with pip.
	@for tool in chromium chromedriver; do command -v $$tool > /dev/null || { echo "$$tool was not found; install Chromium \
	and its driver: apt-get install chromium chromium-driver" >&2; exit 1; }; done
	cd tests/browser && ../../target/browser/bin/ruff format --check . && ../../target/browser/bin/ruff check . \
		&& ../../target/browser/bin/pytest $(TESTS)

target/browser: tests/browser/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --requirement $<
	touch $@

stubs-python: target/python ## Write the Python client's stubs again, of proto/.
	$(PYTHON)/python -m grpc_tools.protoc -Iproto $(foreach kind,python pyi grpc_python,--$(kind)_out=clients/python/src) \
		proto/simbert/v1/*.proto

contract: ## Accept proto/ as it is as released: writes proto/released.txt. Refuses what would break clients.
	$(CARGO) test --release --locked --test contract -- --ignored --exact released::accept_the_contract_as_released

PYTHON = $(CURDIR)/target/python/bin

target/python: clients/python/pyproject.toml
	python3 -m venv $@
	$@/bin/pip install --quiet --editable 'clients/python[dev]'
	touch $@

crash: ## Kill a process that writes 200 times, and check what is left. KILLS and SEED choose how often and which.
	SIMBERT_CRASH_KILLS=$(or $(KILLS),200) SIMBERT_CRASH_SEED=$(or $(SEED),1) \
		$(CARGO) test --release --locked --test bank crash:: -- --nocapture

# TARGETS="request questions" runs only these, SECONDS each. Takes a nightly toolchain and `cargo install cargo-fuzz`.
fuzz: ## Fuzz every parser for SECONDS (60) each. What is found lies in fuzz/artifacts.
	cp -n Cargo.lock fuzz/
	for target in $(or $(TARGETS),$(FUZZ_TARGETS)); do \
		mkdir -p fuzz/found/$$target && $(CARGO) +nightly fuzz run $$target fuzz/found/$$target fuzz/corpus/$$target -- \
			-max_total_time=$(or $(SECONDS),60) -rss_limit_mb=2048 -timeout=120 -max_len=65536 || exit 1; \
	done

FUZZ_TARGETS = $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

deny: ## Check the licences and the sources of all dependencies, without a network. Takes `cargo install cargo-deny`.
	cargo deny --offline --locked check bans licenses sources

bench: ## Time a search through the graph beside an exact one.
	$(CARGO) bench --locked --bench search

bench-bank: ## Time opening a bank, writing to it, and searching while segments are merged. QUESTIONS chooses how many.
	SIMBERT_SPEED_QUESTIONS=$(or $(QUESTIONS),100000) \
		$(CARGO) test --release --locked --test bank -- --ignored --nocapture --test-threads 1 speed

# SCALE=1m, QUESTIONS=file with QUERIES="files", VECTORS=file; BENCH_ANN="options" passes on what `ann.py --help` lists.
bench-ann: target/peers $(if $(QUESTIONS),model) ## Build and search an index beside hnswlib, faiss and usearch. Fetches them with pip.
	$(CARGO) build --release --locked --example ann
	target/peers/bin/python benches/peers/ann.py $(BENCH_DATA) $(BENCH_ANN)

bench-growth: target/peers $(if $(QUESTIONS),model) ## See how search time, build time and memory grow with the number of vectors.
	$(CARGO) build --release --locked --example ann
	target/peers/bin/python benches/peers/growth.py $(BENCH_DATA) $(BENCH_ANN)

BENCH_DATA = $(if $(SCALE),--scale $(SCALE)) $(if $(VECTORS),--vectors $(VECTORS)) \
	$(if $(QUESTIONS),--questions $(QUESTIONS) --query-file $(QUERIES))

bench-generate: model target/peers $(MODEL)/encoder.int8.onnx ## Time similar questions beside Hugging Face transformers, and compare logits. Fetches both with pip.
	$(CARGO) build --release --locked --example generate
	target/peers/bin/python benches/peers/generate.py $(BENCH_GENERATE)

bench-half: model target/peers ## See what f16 weights would bring the encoder. Fetches onnx and ONNX Runtime with pip.
	target/peers/bin/python benches/peers/half.py

bench-beams: build model target/peers ## Judge ways to draw similar questions: sampling with its controls, and diverse beams. Fetches transformers with pip.
	target/peers/bin/python benches/peers/beams.py $(BENCH_BEAMS)

bench-train: build target/peers ## Time training steps beside PyTorch's, and compare losses and gradients. Fetches PyTorch with pip.
	target/peers/bin/python benches/peers/train.py $(BENCH_TRAIN)

# QUESTIONS=file of questions, one a line; BENCH_ENCODE="options" passes on what `encode.py --help` lists.
bench-encode: model target/peers $(MODEL)/encoder.int8.onnx ## Encode QUESTIONS beside onnxruntime's Python and PyTorch.
	target/peers/bin/python benches/peers/encode.py --questions $(or $(QUESTIONS),$(error name a file: QUESTIONS=questions.txt)) $(BENCH_ENCODE)

# QUESTIONS=file of questions, one a line, twice as many as the bank has; BENCH_SERVE="options" passes on what `serve.py --help` lists.
bench-serve: model $(MODEL)/encoder.int8.onnx ## Load a server from a process beside it, and hold it against the same work without a server.
	python3 benches/serve/serve.py --questions $(or $(QUESTIONS),$(error name a file: QUESTIONS=questions.txt)) $(BENCH_SERVE)

soak: model $(MODEL)/encoder.int8.onnx ## Keep a server at full load for 30 minutes, and see that its memory does not grow. MINUTES chooses how long.
	SIMBERT_SOAK_MINUTES=$(or $(MINUTES),30) SIMBERT_SOAK_RESULTS=$(CURDIR)/benches/serve/results \
		$(CARGO) test --release --locked --test load -- --exact --nocapture soak::memory_files_and_threads_stay_bounded_at_full_load

target/peers: benches/peers/requirements.txt
	python3 -m venv $@
	$@/bin/pip install --quiet --requirement $<
	touch $@

train: vendor ## Train the bundled model again, stage by stage as in data/model/training, into data/model. Takes hours.
	$(SIMBERT) train $(MODEL)/training/1-write.toml --stop-after 1190
	$(SIMBERT) train $(MODEL)/training/2-other-words.toml
	$(SIMBERT) train $(MODEL)/training/3-everyday.toml
	$(SIMBERT) train $(MODEL)/training/4-sources.toml --stop-after 374
	$(SIMBERT) train $(MODEL)/training/5-wordings.toml
	rm -rf runs/5-blend
	$(SIMBERT) blend runs/5-wordings/model runs/3-everyday/model --f32 --output runs/5-blend/model
	$(SIMBERT) train $(MODEL)/training/6-mean.toml
	rm -rf runs/7-blend
	$(SIMBERT) blend runs/6-mean/model runs/3-everyday/model --share 7 --share 3 --output runs/7-blend/model
	xz -dc ../shared/data/text/short.txt.xz > runs/short.txt
	$(SIMBERT) train $(MODEL)/training/8-wordings.toml
	rm -rf runs/9-blend
	$(SIMBERT) blend runs/8-wordings/model runs/7-blend/model --share 35 --share 65 --output runs/9-blend/model
	cp $(addprefix runs/9-blend/model/,config.json tokenizer.json model.safetensors) $(MODEL)/
	rm -f $(MODEL)/calibration*.json $(MODEL)/kinds.json
	$(SIMBERT) export $(MODEL)
	$(SIMBERT) export --int8 $(MODEL)
	$(SIMBERT) eval calibrate --standard data/faq/standard.tsv --query data/faq/queries.tsv --hits 3
	$(SIMBERT) eval calibrate --standard data/faq/standard.tsv --query data/faq/queries.tsv --hits 3 --int8
	$(SIMBERT) eval kinds runs/short.txt $(foreach kind,questions statements,--except data/generation/$(kind).tsv)

clean: ## Remove what was built, fetched and exported.
	$(CARGO) clean
	rm -rf vendor $(MODEL)/*.onnx $(MODEL)/weights*.bin
