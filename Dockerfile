# The API and the workers, in one image: they share every dependency, and the command tells which one runs.

FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/agents

# What builds stays in this stage. Where the network replaces certificates, SSL_CERT_FILE of the machine that builds
# comes in as a secret; elsewhere that is empty.
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=build_ca,target=/run/build-ca.pem \
    if [ -s /run/build-ca.pem ]; then export PIP_CERT=/run/build-ca.pem; fi \
    && pip install uv==0.13.9 hatchling==1.27.0 \
    && uv venv "$VIRTUAL_ENV"

# Before the code, so that a change of code installs no dependency again.
COPY requirements/service.txt /src/requirements/
RUN --mount=type=cache,target=/root/.cache/uv --mount=type=secret,id=build_ca,target=/run/build-ca.pem \
    if [ -s /run/build-ca.pem ]; then export SSL_CERT_FILE=/run/build-ca.pem; fi \
    && uv pip install --require-hashes --requirements /src/requirements/service.txt \
    # An eighth of the whole, and nobody runs them here.
    && find "$VIRTUAL_ENV" -type d -name tests -prune -exec rm -rf {} +

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY agent_service agent_service
# Built with the hatchling from above instead of the newest one of the day.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv build --quiet --wheel --no-build-isolation --python /usr/local/bin/python --out-dir /tmp/wheel \
    && uv pip install --no-deps /tmp/wheel/*.whl


FROM python:3.13-slim

# The log directory exists with the right owner, since a new volume takes both from here.
RUN groupadd --gid 10001 agents \
    && useradd --uid 10001 --gid agents --no-create-home --home-dir /var/lib/agents --shell /usr/sbin/nologin agents \
    && install --directory --owner agents --group agents /var/lib/agents /var/log/agents \
    && pip uninstall --yes --quiet --root-user-action ignore pip

COPY --from=build /opt/agents /opt/agents

# The API shows them; in the wheel they are not.
COPY docs/runbooks /opt/agents/share/agent-service/runbooks
COPY docs/incident-response.md docs/faults.md /opt/agents/share/agent-service/

ENV PATH=/opt/agents/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    API_HOST=0.0.0.0 \
    METRICS_HOST=0.0.0.0 \
    LOG_DIR=/var/log/agents \
    VAR_DIR=/var/lib/agents

USER 10001:10001
WORKDIR /var/lib/agents
EXPOSE 8000 9464
CMD ["agent-service", "api"]
