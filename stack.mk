# The whole stack under Docker Compose: what `make up` and its like call, and what there is beside them.

STACK := $(BIN)/python -m stack
COMPOSE := docker compose --env-file .env

.PHONY: reset passwords test-stack ps

reset: $(INSTALLED)  ## Stop the whole stack and delete all of its data, after asking
	@$(STACK) reset

passwords: $(INSTALLED)  ## Give every password that .env has no value for a random one
	@$(STACK) passwords

ps: $(INSTALLED)  ## Show every container of the stack and how it is
	@$(STACK) ps

test-stack: $(INSTALLED)  ## Start the stack under a name of its own and test it: make test-stack [ARGS="-k name"]
	@$(BIN)/pytest tests/stack $(ARGS)
