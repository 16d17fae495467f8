# What a person does with this project. Each verb installs what it needs, saying what.

.DEFAULT_GOAL := help
.PHONY: help demo run test bench loadtest engines docs fmt cluster nemesis

help: ## list these verbs
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r verb what; do \
		printf '  make %-9s %s\n' "$$verb" "$$what"; done

demo: ## build, start a server, stream a recording, show captions and the trace
	@scripts/demo.sh

run: ## build and run the server until ctrl-c; ARGS go to `dalston serve`
	@scripts/run.sh $(ARGS)

test: ## run everything that must hold
	@scripts/test.sh

bench: ## run the benchmarks, short
	@scripts/bench.sh

loadtest: ## put load on a server of its own, short; tables and pages with plots
	@scripts/loadtest.sh

engines: ## build one program with all engines (Whisper, sherpa-onnx) and run their tests
	@scripts/engines.sh

cluster: ## every part as its own process over Redis, PostgreSQL and S3: a session, a job, their traces
	@scripts/cluster.sh $(ARGS)

nemesis: ## ten minutes in which everything fails, from a seed, and what of it is not as promised; ARGS such as --measure
	@scripts/nemesis.sh $(ARGS)

docs: ## write docs/configuration.md and .env.example from the settings
	@page=$$(cargo run --quiet --package dalston --example configuration_page) && echo "$$page" >docs/configuration.md
	@page=$$(cargo run --quiet --package dalston --example env_example) && echo "$$page" >.env.example

fmt: ## format the code
	@cargo fmt --all
