# The whole stack under Docker Compose: what `make up` and its like call, and what there is beside them.

STACK := $(BIN)/python -m stack
COMPOSE := docker compose --env-file .env

# The sources of dashboards, saved objects and log alerts are linted and typed like everything else.
PACKAGES += grafana kibana log_alerts

.PHONY: reset passwords test-stack ps dashboards check-dashboards test-dashboards test-faults

check: check-dashboards

reset: $(INSTALLED)  ## Stop the whole stack and delete all of its data, after asking
	@$(STACK) reset

passwords: $(INSTALLED)  ## Give every password that .env has no value for a random one
	@$(STACK) passwords

ps: $(INSTALLED)  ## Show every container of the stack and how it is
	@$(STACK) ps

test-stack: $(INSTALLED)  ## Start the stack under a name of its own and test it: make test-stack [ARGS="-k name"]
	@$(BIN)/pytest tests/stack $(ARGS)

dashboards: $(INSTALLED)  ## Write Grafana's dashboards, Kibana's saved objects and docs/dashboards.md from their sources
	@$(BIN)/python -m grafana.source
	@$(BIN)/python -m kibana.source

# Part of `make check`: what the dashboards and saved objects name exists, and they are what their sources write.
check-dashboards: $(INSTALLED)
	@$(BIN)/pytest -q --no-header tests/unit/dashboards

test-dashboards: $(INSTALLED)  ## Run every panel's queries against the stack after a demo: make test-dashboards [ARGS="-k name"]
	@$(BIN)/pytest tests/dashboards $(ARGS)

test-faults: $(INSTALLED)  ## Cause every fault in a stack with faster rules, and follow each from the alert to the review
	@$(BIN)/pytest -s tests/faults $(ARGS)
