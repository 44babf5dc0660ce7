# The whole stack under Docker Compose. Included by the Makefile, whose PACKAGES need `stack` for lint and types.

STACK := $(BIN)/python -m stack
COMPOSE := docker compose --env-file .env

.PHONY: stack-up stack-down stack-reset stack-check stack-logs stack-urls stack-passwords test-stack ps

stack-up: $(INSTALLED)  ## Start the whole stack with Docker, wait until it is healthy, print where it is
	@$(STACK) up

stack-down: $(INSTALLED)  ## Stop the stack; all data stays
	@$(STACK) down

stack-reset: $(INSTALLED)  ## Stop the stack and delete all of its data, after asking
	@$(STACK) reset

stack-check: $(INSTALLED)  ## Check every file of the stack with the program that it is for
	@$(STACK) check

stack-logs:  ## Follow the output of the stack's containers: make stack-logs [S=service]
	@$(COMPOSE) logs --follow --tail 50 $(S)

stack-urls: $(INSTALLED)  ## Print where each part of the stack is, and with which login
	@$(STACK) urls

stack-passwords: $(INSTALLED)  ## Give every password that .env has no value for a random one
	@$(STACK) passwords

test-stack: $(INSTALLED)  ## Start the stack under a name of its own and test it: make test-stack [ARGS="-k name"]
	@$(BIN)/pytest tests/stack $(ARGS)

ps: $(INSTALLED)  ## Show every container of the stack and how it is
	@$(STACK) ps
