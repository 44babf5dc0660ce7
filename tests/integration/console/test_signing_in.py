"""Who gets in, what the cookie is like, and that nobody else can send a form."""

from __future__ import annotations

import pytest

from agent_service.api.console.sessions import COOKIE, FAILURES
from tests.integration.api.clients import KEYS

PAGES = [
    "/",
    "/console/tasks",
    "/console/submit",
    "/console/agents",
    "/console/agents/measure",
    "/console/workers",
    "/console/dead-letters",
    "/console/incidents",
    "/console/find?id=1",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_to_the_sign_in_page_and_back(stranger, path):
    response = stranger.get(path)
    assert response.status_code == 303
    sign_in = stranger.get(response.headers["location"])
    assert sign_in.status_code == 200
    assert f'name="next" value="{path}"' in sign_in.text
    signed_in = stranger.sign_in(next=path)
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, path)
    assert stranger.get(path).status_code in {200, 303}


def test_every_page_opens_once_signed_in(browser):
    for path in PAGES[:-1]:
        response = browser.get(path)
        assert response.status_code == 200, path
        assert response.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "/a\nb", ""])
def test_signing_in_leads_nowhere_else(stranger, target):
    assert stranger.sign_in(next=target).headers["location"] == "/"


def test_the_cookie_is_for_this_site_and_no_script(stranger):
    cookie = stranger.sign_in().headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/", "max-age="))
    assert "secure" not in cookie
    assert KEYS["ci"] not in cookie


def test_the_cookie_is_for_https_alone_where_that_is_said(make_browser):
    assert "secure" in make_browser(console_secure_cookie=True).sign_in().headers["set-cookie"].lower()


def test_a_wrong_key_is_refused(stranger):
    response = stranger.sign_in("wrong")
    assert response.status_code == 401
    assert "not valid" in response.text
    assert "set-cookie" not in response.headers
    assert stranger.get("/").status_code == 303


def test_too_many_wrong_keys_are_not_looked_at(stranger):
    for _ in range(FAILURES):
        assert stranger.sign_in("wrong").status_code == 401
    refused = stranger.sign_in()
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert stranger.get("/").status_code == 303


def test_redis_holds_no_token_that_signs_anybody_in(browser, redis_client):
    for key in redis_client.scan_iter("agents:console:*"):
        assert browser.cookie.encode() not in key
        assert browser.cookie.encode() not in (redis_client.get(key) or b"")
        assert redis_client.ttl(key) > 0


def test_signing_out_ends_the_session_everywhere(browser):
    token = browser.cookie
    response = browser.send("/console/sign-out")
    assert (response.status_code, response.headers["location"]) == (303, "/console/sign-in")
    assert f"{COOKIE}=" in response.headers["set-cookie"]
    browser.cookie = token
    assert browser.get("/").status_code == 303


def test_a_session_ends_with_its_key(browser, make_browser):
    changed = make_browser(api_keys_sha256={"ci": "0" * 64})
    changed.cookie = browser.cookie
    assert changed.get("/").status_code == 303


def test_a_session_opens_no_operation_of_the_api(browser):
    assert browser.get("/tasks").status_code == 401


def test_a_browser_hears_whether_it_is_signed_in(browser):
    assert browser.get("/console/session").status_code == 204
    browser.cookie = "made-up"
    assert browser.get("/console/session").status_code == 303


FORMS = [
    ("/console/workers/suspend", {}),
    ("/console/dead-letters", {"what": "drop", "scope": "all"}),
    ("/console/submit", {"agent": "measure", "input.text": "x"}),
    ("/console/sign-out", {}),
]


@pytest.mark.parametrize(("path", "fields"), FORMS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://api"},
    ],
)
def test_a_form_of_another_site_is_refused(browser, redis_client, path, fields, headers):
    response = browser.send(path, headers, **fields)
    assert response.status_code == 403
    assert not redis_client.exists("rq:suspended")
    assert browser.get("/").status_code == 200


def test_a_form_from_another_address_is_refused_where_the_browser_tells_no_more(browser):
    response = browser.request(
        "POST",
        "/console/workers/suspend",
        data={"csrf": browser.csrf()},
        headers={"Origin": "http://evil.example"},
    )
    assert response.status_code == 403


@pytest.mark.parametrize("csrf", ["", "made-up"])
@pytest.mark.parametrize(("path", "fields"), FORMS)
def test_a_form_without_the_sessions_token_is_refused(browser, redis_client, path, fields, csrf):
    assert browser.send(path, csrf=csrf, **fields).status_code == 403
    assert not redis_client.exists("rq:suspended")
    assert browser.get("/").status_code == 200


def test_a_key_of_somebody_else_can_be_signed_in_with_from_here_only(stranger):
    assert stranger.sign_in(headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_form_that_is_too_long_is_refused(make_browser):
    browser = make_browser(max_body_bytes=500)
    browser.sign_in()
    assert browser.send("/console/submit", agent="measure", **{"input.text": "x" * 600}).status_code == 413


def test_the_live_part_is_for_those_who_are_signed_in(stranger):
    assert stranger.get("/console/live/tasks").status_code == 401


def test_without_redis_a_page_says_so_and_tries_again(make_browser):
    browser = make_browser(redis_url="redis://127.0.0.1:1/0")
    response = browser.get("/console/tasks", headers={"Cookie": f"{COOKIE}=some"})
    assert response.status_code == 503
    assert "The queue server does not answer" in response.text
    assert 'http-equiv="refresh"' in response.text
    assert browser.get("/console/sign-in").status_code == 200
    assert browser.get("/runbooks").status_code == 200
