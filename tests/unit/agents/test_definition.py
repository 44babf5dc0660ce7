from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from opentelemetry.trace import StatusCode
from pydantic import BaseModel

from agent_service.agents import AgentDefinitionError, Context, RetryPolicy, TaskCanceledError, agent


class Question(BaseModel):
    text: str = ""


class Answer(BaseModel):
    text: str = ""


def answer(question: Question) -> Answer:
    """Answers a question.

    At length.
    """
    return Answer(text=question.text.upper())


async def answer_with_context(question: Question, context: Context) -> Answer:
    return Answer(text=f"{context.agent}: {question.text}")


def untyped(question) -> Answer:
    return Answer()


def typed_as_text(question: str) -> Answer:
    return Answer()


def without_result(question: Question):
    return None


def without_input() -> Answer:
    return Answer()


def with_three(question: Question, context: Context, more: int) -> Answer:
    return Answer()


def with_another_second(question: Question, context: int) -> Answer:
    return Answer()


def with_keyword_context(question: Question, *, context: Context) -> Answer:
    return Answer()


def with_many(*questions: Question) -> Answer:
    return Answer()


def with_unknown_name(question: NoSuchModel) -> Answer:  # noqa: F821
    return Answer()


def test_a_function_becomes_an_agent_that_still_can_be_called():
    definition = agent("answerer", version="7", owner="team")(answer)

    assert definition(Question(text="hi")) == Answer(text="HI")
    assert (definition.input_model, definition.result_model) == (Question, Answer)
    assert definition.description == "Answers a question."
    assert definition.id == "answerer@7"
    assert not definition.takes_context
    assert not definition.is_async


def test_an_async_agent_gets_the_context_that_it_asks_for(make_context):
    definition = agent("answerer", description="Asks back.")(answer_with_context)

    assert definition.is_async
    assert definition.description == "Asks back."
    assert asyncio.run(definition.invoke(Question(text="hi"), make_context("answerer"))) == Answer(text="answerer: hi")


def test_an_agent_without_a_context_is_invoked_without_one(context):
    assert agent("answerer")(answer).invoke(Question(text="hi"), context) == Answer(text="HI")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (untyped, "parameter 'question'"),
        (typed_as_text, "parameter 'question'"),
        (without_result, "return value"),
        (without_input, "got 0 parameters"),
        (with_three, "got 3 parameters"),
        (with_another_second, "annotated with Context"),
        (with_keyword_context, "keyword-only"),
        (with_many, "positional"),
        (with_unknown_name, "NoSuchModel"),
    ],
)
def test_a_function_that_cannot_be_run_is_refused_with_the_reason(function, reason):
    with pytest.raises(AgentDefinitionError, match=reason) as refused:
        agent("answerer")(function)
    assert "'answerer'" in str(refused.value)


@pytest.mark.parametrize("name", ["", "Answerer", "1st", "an_swerer", "answerer-", "a--b", "a" * 64, "antwörter"])
def test_names_that_do_not_fit_a_label_are_refused(name):
    with pytest.raises(AgentDefinitionError, match="lower-case words"):
        agent(name)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"concurrency": 0}, {"retries": -1}, {"queue": "Slow"}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(AgentDefinitionError, match="'answerer'"):
        agent("answerer", **options)


def test_a_number_of_retries_counts_the_runs_after_the_first():
    assert agent("answerer", retries=2)(answer).retries.attempts == 3


def test_waits_double_up_to_the_limit():
    policy = RetryPolicy(attempts=5, base=timedelta(seconds=2), limit=timedelta(seconds=9), jitter=0)

    assert policy.waits(random.Random(1)) == [2, 4, 8, 9]


def test_waits_of_very_many_attempts_stay_at_the_limit():
    assert RetryPolicy(attempts=2_000, jitter=0).waits(random.Random(1))[-1] == 300


def test_jitter_spreads_the_waits_within_its_share():
    policy = RetryPolicy(attempts=200, base=timedelta(seconds=100), limit=timedelta(seconds=100), jitter=0.2)
    waits = policy.waits(random.Random(1))

    assert 80 <= min(waits) < 95
    assert 105 < max(waits) <= 120


@pytest.mark.parametrize(
    "options",
    [
        {"attempts": 0},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"base": timedelta(seconds=-1)},
        {"limit": timedelta(seconds=-1)},
    ],
)
def test_a_policy_out_of_range_is_refused(options):
    with pytest.raises(AgentDefinitionError):
        RetryPolicy(**options)


def test_progress_is_a_share(context, backend):
    context.progress(0.5, "half")

    assert backend.progress == [(0.5, "half")]
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            context.progress(fraction)


def test_a_canceled_task_leaves_at_the_next_sign_of_life(context, backend):
    backend.canceled = True

    assert context.canceled
    with pytest.raises(TaskCanceledError, match="task-0"):
        context.progress(0.5)
    with pytest.raises(TaskCanceledError), context.tool("search"):
        raise AssertionError("the tool must not be used")
    assert backend.progress == []


def test_a_tool_is_a_span(context, spans):
    with context.tool("search", hits=3):
        pass

    (span,) = spans.get_finished_spans()
    assert span.name == "execute_tool search"
    assert span.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "function",
        "hits": 3,
    }


def test_a_tool_that_fails_marks_its_span(context, spans):
    with pytest.raises(LookupError), context.tool("search"):
        raise LookupError("nothing there")

    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "nothing there"
    assert span.attributes["error.type"] == "LookupError"
    assert [event.name for event in span.events] == ["exception"]


def test_a_subtask_is_submitted_and_waited_for(context, backend):
    result = asyncio.run(context.run("planner", {"text": "hi"}, within=5))

    assert backend.submitted == [("planner", {"text": "hi"})]
    assert result == {"task": "task-1", "seconds": 5}
