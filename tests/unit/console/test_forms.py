"""Where a form may lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.api.console.forms import local_path


@pytest.mark.parametrize("target", ["/", "/console/tasks?state=failed&agent=a", "/runbooks/A#fix"])
def test_a_path_of_this_server_is_followed(target):
    assert local_path(target) == target


@pytest.mark.parametrize(
    "target",
    [
        None,
        "",
        "//evil",
        "///evil",
        "/\\evil",
        "\\/evil",
        "https://evil",
        "javascript:alert(1)",
        "/\t/evil",
        "/\n/evil",
        "evil",
    ],
)
def test_anything_else_leads_to_the_overview(target):
    assert local_path(target) == "/"


@given(st.text())
def test_no_text_leads_to_another_server(target):
    assert local_path(target).startswith("/")
    assert not local_path(target).startswith(("//", "/\\"))
