"""The escalation policy, and what is said of one that cannot be used."""

from __future__ import annotations

import pytest

from agent_service.incidents import EscalationPolicyError, load_policy
from agent_service.incidents.escalation import DEFAULT_POLICY

POLICY = """
[[policy]]
severity = "critical"
team = ["agents", "platform"]
steps = [{after_minutes = 5, receiver = "both"}, {after_minutes = 7.5, receiver = "lead"}]

[[policy]]
severity = "critical"
steps = [{after_minutes = 10, receiver = "severity"}]

[[policy]]
severity = "*"
team = "agents"
steps = [{after_minutes = 20, receiver = "team"}]

[[policy]]
severity = "info"
team = "agents"
steps = []
"""


@pytest.fixture
def write(tmp_path):
    def written(text: str):
        file = tmp_path / "policy.toml"
        file.write_text(text)
        return file

    return written


@pytest.mark.parametrize(
    ("severity", "team", "receivers"),
    [
        ("critical", "agents", ["both", "lead"]),
        ("critical", "platform", ["both", "lead"]),
        ("critical", "research", ["severity"]),
        ("warning", "agents", ["team"]),
        ("info", "agents", []),
        ("warning", "research", []),
    ],
)
def test_the_entry_that_names_the_most_counts(write, severity, team, receivers):
    assert [step.receiver for step in load_policy(write(POLICY)).steps(severity, team)] == receivers


def test_minutes_may_be_fractions(write):
    assert [step.after_seconds for step in load_policy(write(POLICY)).steps("critical", "agents")] == [300, 450]


def test_severities_and_teams_in_full_are_known_beforehand(write):
    assert list(load_policy(write(POLICY)).named()) == [
        ("critical", "agents"),
        ("critical", "platform"),
        ("info", "agents"),
    ]


def test_an_entry_for_all_is_the_last_resort(write):
    text = POLICY + '[[policy]]\nseverity = "*"\nsteps = [{after_minutes = 60, receiver = "all"}]\n'
    assert load_policy(write(text)).steps("warning", "research")[0].receiver == "all"


def test_the_policy_that_comes_with_the_service_escalates_whatever_is_critical():
    policy = load_policy()
    for team in ("agents", "platform", "research"):
        assert [step.after_minutes for step in policy.steps("critical", team)] == [5, 15]
        assert [step.after_minutes for step in policy.steps("warning", team)] == [30, 120]
    assert policy.steps("info", "agents") == []
    assert DEFAULT_POLICY.is_file()


STEP = '{after_minutes = 5, receiver = "a"}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[policy]", ["is no TOML", "line 1"]),
        ("", ["policy: Field required"]),
        ("rules = []\npolicy = []", ["rules: Extra inputs"]),
        ('[[policy]]\nseverity = "critical"', ["entry 1 (severity 'critical'), steps: Field required"]),
        (
            f'[[policy]]\nseverity = "a"\nsteps = [{STEP}, {{after_minutes = 0, receiver = "b"}}]',
            ["entry 1 (severity 'a'), step 2, after_minutes: Input should be greater than 0"],
        ),
        (
            f'[[policy]]\nseverity = "a"\nsteps = [{STEP}, {STEP}]',
            ["entry 1 (severity 'a'), steps: step 2 comes after 5 minutes, which is not later than the 5"],
        ),
        (
            f'[[policy]]\nseverity = "a"\nsteps = []\n[[policy]]\nseverity = "a"\nteam = ["b", "*"]\nsteps = [{STEP}]',
            ["policy: entries 1 and 2 are both for severity 'a' and team '*'"],
        ),
        (
            '[[policy]]\nseverity = "a"\nteam = []\nsteps = []',
            ["entry 1 (severity 'a', team []), team: List should have"],
        ),
        ('[[policy]]\nseverity = "a"\nteam = 7\nsteps = []', ["entry 1 (severity 'a', team 7), team: Input should"]),
        ('[[policy]]\nseverity = "a"\nteam = ["b", 7]\nsteps = []', ["team 2: Input should be a valid string"]),
        (
            '[[policy]]\nseverity = "a"\nsteps = [{after_minutes = 5, receiver = "not a label"}]',
            ["entry 1 (severity 'a'), step 1, receiver: String should match"],
        ),
        (
            '[[policy]]\nseverity = "a"\nsteps = [{after_minutes = "5", receiver = "a"}]',
            ["step 1, after_minutes: Input should be a valid number"],
        ),
        ("policy = [7]", ["entry 1: Input should be a valid dict"]),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_the_file_and_the_place(write, text, words):
    file = write(text)
    with pytest.raises(EscalationPolicyError) as caught:
        load_policy(file)
    message = str(caught.value)
    assert str(file) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(EscalationPolicyError, match=r"none\.toml cannot be read: No such file"):
        load_policy(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EscalationPolicyError, match="is no TOML"):
        load_policy(tmp_path / "binary.toml")
