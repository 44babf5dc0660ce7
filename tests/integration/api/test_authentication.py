"""Who may do what."""

import pytest

from tests.integration.api.clients import KEYS

NONE = {"Authorization": ""}
OPEN = ["/docs", "/openapi.json", "/healthz"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Basic {KEYS['ci']}"},
        {"Authorization": KEYS["ci"]},
        {"X-API-Key": "wrong"},
        {"X-API-Key": b"\xff\xfe"},
        {"Authorization": "Bearer wrong", "X-API-Key": KEYS["ci"]},
    ],
)
def test_without_a_valid_key_nothing_is_given(api, headers):
    response = api.get("/agents", headers={**NONE, **headers})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


def test_every_operation_but_the_probes_needs_a_key(api):
    document = api.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method in operations:
            response = api.request(method.upper(), path, headers=NONE, content=b"not even JSON")
            assert (response.status_code == 401) == (path not in {"/healthz", "/readyz"}), (method, path)


@pytest.mark.parametrize("path", OPEN)
def test_the_probes_and_pages_are_open(api, path):
    assert api.get(path, headers=NONE).status_code == 200


def test_readiness_is_open(api):
    assert api.get("/readyz", headers=NONE).status_code == 503


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("header", ["Bearer", "bearer", "X-API-Key"])
def test_every_key_works_in_either_header_and_names_its_owner(api, name, header):
    key = KEYS[name]
    headers = {"X-API-Key": key} if header == "X-API-Key" else {"Authorization": f"{header} {key}"}
    body = {"agent": "measure", "input": {"text": "x"}}
    response = api.post("/tasks", json=body, headers={**NONE, **headers})
    assert response.json()["submitted_by"] == name
