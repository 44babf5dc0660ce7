# Texts in several scripts are what is tested here.
# ruff: noqa: RUF001

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import ValidationError

from agent_service.agents import TaskCanceledError
from agent_service.agents.documents import extract, plan, review, summarize, write
from agent_service.agents.documents.models import (
    Document,
    Extraction,
    KeyPhrase,
    Plan,
    ReportRequest,
    Review,
    ReviewRequest,
    Section,
    SectionInput,
    SectionSummary,
    SummaryRequest,
)
from agent_service.agents.documents.summarizer import quotable_sentences

GUIDE = """# Valkey guide

Valkey is a key-value store. It was forked from Redis on 28 March 2024 by the Linux Foundation.
The Linux Foundation hosts the project, and every release is signed.

## Persistence

The append-only file records every write operation that the server receives. Each write operation is replayed when the
server starts, which rebuilds the data set. An append-only file grows with every write operation, so the server rewrites
it in the background. The rewrite needs memory for a second process. Snapshots are smaller than an append-only file, and
they load faster. A snapshot loses what was written after it was taken. Most installations use both kinds.
See the [manual](https://valkey.io/topics/persistence/) or https://github.com/valkey-io/valkey (the sources).

```bash
valkey-server --appendonly yes  # codeword
```

## Replication

A replica copies the data set of its primary. When the link breaks, the replica asks for the part that it missed.
The replication backlog holds the newest writes, so that a short break does not cost a full copy of the data set.
A full copy of the data set is taken when the replication backlog is too small. The primary forks for the copy.
Replicas may serve reads. Clients must expect that a replica lags behind its primary by a moment.
"""


def make_section(text, heading="", index=0):
    return Section(index=index, heading=heading, text=text)


@pytest.fixture
def plan_of(context):
    return lambda text, **more: plan.invoke(Document(text=text, **more), context)


@pytest.fixture
def extraction_of(context):
    return lambda text, heading="", **more: extract.invoke(
        SectionInput(section=make_section(text, heading), **more), context
    )


@pytest.fixture
def summary_of(context):
    return lambda text, phrases=(), **more: summarize.invoke(
        SummaryRequest(section=make_section(text), phrases=list(phrases), **more), context
    )


@pytest.fixture
def review_of(context):
    return lambda **request: review.invoke(ReviewRequest(**request), context)


@pytest.fixture
def report_of(context):
    return lambda **request: asyncio.run(write.invoke(ReportRequest(**request), context))


def prose(number, words=90):
    """A paragraph that is too long to be merged away."""
    return f"Paragraph {number} says this. " + "It has words enough to stand alone. " * (words // 7)


class TestPlanner:
    def test_a_document_is_split_at_its_headings(self, plan_of):
        planned = plan_of(GUIDE)

        assert planned.title == "Valkey guide"
        assert [(section.index, section.heading, section.level) for section in planned.sections] == [
            (0, "Valkey guide", 1),
            (1, "Replication", 2),
        ]
        assert "## Persistence" in planned.sections[0].text

    def test_code_is_left_out_and_counted(self, plan_of):
        planned = plan_of(GUIDE)

        assert planned.code_blocks == 1
        assert "codeword" not in " ".join(section.text for section in planned.sections)

    def test_code_in_a_list_and_indented_code_of_markdown_is_left_out(self, plan_of):
        planned = plan_of("# T\n\n- item\n\n  ~~~\n  codeword\n  ~~~\n\n- more\n\nAs in:\n\n    codeword too\n\nend\n")

        assert planned.code_blocks == 2
        assert "codeword" not in planned.sections[0].text
        assert {"item", "more", "end"} <= set(planned.sections[0].text.split())

    def test_a_fence_that_is_never_closed_swallows_nothing(self, plan_of):
        planned = plan_of("Before.\n\n```\nafter the fence\n")

        assert planned.code_blocks == 0
        assert "after the fence" in planned.sections[0].text

    def test_plain_text_may_indent_its_prose(self, plan_of):
        planned = plan_of("   LICENSE\n\n      Permission is granted to everybody.\n")

        assert "Permission is granted" in planned.sections[0].text
        assert planned.title == "LICENSE"
        assert planned.code_blocks == 0

    def test_windows_line_ends_change_nothing(self, plan_of):
        assert plan_of(GUIDE.replace("\n", "\r\n")) == plan_of(GUIDE)

    def test_small_sections_join_and_keep_their_headings(self, plan_of):
        planned = plan_of("# Top\n\nOne.\n\n## Left\n\nTwo.\n\n## Right\n\nThree.\n")

        assert [section.heading for section in planned.sections] == ["Top"]
        assert re.findall(r"\w+", planned.sections[0].text) == ["One", "Left", "Two", "Right", "Three"]

    def test_a_small_section_does_not_join_the_chapter_before(self, plan_of):
        planned = plan_of(f"# First\n\n## Inside\n\n{prose(1)}\n\n# Second\n\nShort.\n\n## Inside\n\n{prose(2)}\n")

        assert [section.heading for section in planned.sections] == ["First", "Second"]

    def test_a_long_text_without_headings_is_cut_between_paragraphs(self, plan_of):
        paragraphs = [prose(number) for number in range(60)]
        planned = plan_of("\n\n".join(paragraphs))

        assert 5 < len(planned.sections) <= 40
        assert all(section.text.startswith("Paragraph ") for section in planned.sections)
        assert sum(section.text.count("says this") for section in planned.sections) == 60

    def test_a_long_section_becomes_numbered_parts(self, plan_of):
        planned = plan_of("# Long\n\n" + "\n\n".join(prose(number) for number in range(12)))

        assert [section.heading for section in planned.sections] == ["Long", "Long (2)"]

    def test_never_more_than_forty_sections(self, plan_of):
        planned = plan_of("\n\n".join(f"# Heading {number}\n\n{prose(number)}" for number in range(500)))

        assert len(planned.sections) <= 40
        assert sum(section.text.count("says this") for section in planned.sections) == 500

    def test_one_endless_line_is_cut_between_words(self, plan_of):
        planned = plan_of("lorem " * 20_000)

        assert {word for section in planned.sections for word in section.text.split()} == {"lorem"}
        assert planned.words == 20_000

    def test_words_are_those_of_the_prose(self, plan_of):
        assert plan_of("See [the manual](https://example.org/a/b/c), it's <b>good</b>.").words == 5

    def test_scripts_without_spaces_count_characters(self, plan_of):
        assert plan_of("我们喜欢简单。").words == 6

    @pytest.mark.parametrize("text", [" ", "\n\n", "\ufeff", "---", "```\ncode\n```", "<!-- nothing -->", "😀"])
    def test_a_text_without_prose_is_one_empty_section(self, plan_of, text):
        planned = plan_of(text)

        assert (len(planned.sections), planned.words, planned.title) == (1, 0, "Untitled")

    def test_a_given_title_stays(self, plan_of):
        assert plan_of(GUIDE, title="Mine").title == "Mine"

    def test_a_heading_with_a_link_keeps_the_link_in_the_text(self, plan_of):
        (section,) = plan_of("## [1.2.0](https://example.org/tag) - 2024-05-06\n\nFixed a bug.\n").sections

        assert section.heading == "1.2.0 - 2024-05-06"
        assert "https://example.org/tag" in section.text

    @pytest.mark.parametrize(
        ("language", "text"),
        [
            ("en", "The queue is where the tasks of a service wait for a worker that has time to run them."),
            ("de", "Die Warteschlange ist der Ort, an dem die Aufgaben auf einen Arbeiter warten, und das ist gut."),
            ("fr", "La file est le lieu où les tâches du service attendent un agent qui est libre dans le système."),
            ("es", "La cola es el lugar en que las tareas de un servicio esperan a que un agente se libere."),
            ("nl", "De wachtrij is de plaats waar het werk van een dienst op een vrije medewerker wacht."),
            ("ru", "Очередь это место, где задачи ждут и не теряются, а агент берёт их из неё по порядку."),
            (None, "Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor."),
            (None, "Alertmanager Prometheus Grafana Jaeger Valkey"),
        ],
    )
    def test_the_language_is_named_only_where_it_shows(self, plan_of, language, text):
        assert plan_of(text).language == language


class TestExtractor:
    def test_key_phrases_are_what_the_section_is_about(self, extraction_of):
        section = GUIDE[GUIDE.index("The append-only") : GUIDE.index("```bash")]
        found = extraction_of(section, max_phrases=5).key_phrases

        assert any("append-only file" in phrase.phrase for phrase in found)
        assert any("write operation" in phrase.phrase for phrase in found)
        assert len(found) == 5
        assert [phrase.score for phrase in found] == sorted(phrase.score for phrase in found)

    def test_key_phrases_leave_out_the_stop_words_of_the_language(self, extraction_of):
        text = (
            "Die Warteschlange hält die Aufgaben. Die Warteschlange ist die Mitte, und die Aufgaben sind die Arbeit. "
        )
        found = {phrase.phrase.lower() for phrase in extraction_of(text * 3, language="de").key_phrases}

        assert any("warteschlange" in phrase for phrase in found)
        assert not {"die", "und", "ist"} & found

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("We met Ada Lovelace at noon.", "Ada Lovelace"),
            ("It is hosted by the Department of Energy now.", "Department of Energy"),
            ("They set retry_policy to zero.", "retry_policy"),
            ("The class AgentDefinition is frozen.", "AgentDefinition"),
            ("Answers come over HTTP here.", "HTTP"),
            ("Kafka is slow. We still like Kafka.", "Kafka"),
            ("Rename RetryPolicy first.", "RetryPolicy"),
            ("It is (Elasticsearch) that stores them.", None),
            ("We use Valkey's lists.", "Valkey"),
        ],
    )
    def test_names(self, extraction_of, text, name):
        assert extraction_of(text).names == ([name] if name else [])

    @pytest.mark.parametrize(
        "text",
        [
            "Queues hold tasks. Workers take them.",
            "In March it rained on Monday.",
            "However, this fails.",
            "Note: Every task ends.",
            "THE SOFTWARE IS PROVIDED WITHOUT WARRANTY OF ANY KIND",
            "Die Warteschlange ist der Ort für die Aufgaben, und das ist nicht mit dem Arbeiter zu verwechseln.",
        ],
    )
    def test_a_capital_alone_makes_no_name(self, extraction_of, text):
        assert extraction_of(text).names == []

    def test_the_most_frequent_name_comes_first(self, extraction_of):
        text = "We run Grafana. We run Valkey. We trust Valkey."
        assert extraction_of(text).names == ["Valkey", "Grafana"]

    @pytest.mark.parametrize(
        ("text", "iso"),
        [
            ("2024-03-12", "2024-03-12"),
            ("2024-03-12T10:30:00Z", "2024-03-12T10:30:00+00:00"),
            ("2024-03-12 10:30", "2024-03-12T10:30:00"),
            ("12 March 2024", "2024-03-12"),
            ("March 12, 2024", "2024-03-12"),
            ("Sept. 3rd 2021", "2021-09-03"),
            ("3. Oktober 1990", "1990-10-03"),
            ("1er août 2023", "2023-08-01"),
            ("5 de mayo de 2022", "2022-05-05"),
            ("January 2004", "2004-01"),
            ("28.02.2023", "2023-02-28"),
            ("31/12/1999", "1999-12-31"),
            ("12/31/1999", "1999-12-31"),
            ("2024/7/9", "2024-07-09"),
        ],
    )
    def test_dates(self, extraction_of, text, iso):
        dates = extraction_of(f"It happened on {text}, they say.").dates

        assert [(date.text, date.iso) for date in dates] == [(text, iso)]

    @pytest.mark.parametrize(
        "text",
        [
            "03/04/2024",
            "2024-13-40",
            "31 February 2024",
            "1.2.2024.5",
            "version 10.20.3000",
            "maybe 2024",
            "12-34-5678",
        ],
    )
    def test_what_only_looks_like_a_date_is_none(self, extraction_of, text):
        assert extraction_of(f"It says {text} there.").dates == []

    def test_a_date_in_the_heading_counts(self, extraction_of):
        assert extraction_of("Fixed a bug.", heading="1.2.0 / 2024-05-06").dates[0].iso == "2024-05-06"

    @pytest.mark.parametrize(
        ("text", "link"),
        [
            ("[the docs](https://example.org/a)", ("the docs", "https://example.org/a")),
            ("[the docs][1]\n\n[1]: https://example.org/b", ("the docs", "https://example.org/b")),
            ("<https://example.org/c>", ("https://example.org/c", "https://example.org/c")),
            ("(see https://example.org/d.)", ("", "https://example.org/d")),
            ("https://en.wikipedia.org/wiki/Fork_(software)", ("", "https://en.wikipedia.org/wiki/Fork_(software)")),
            ('<p><a href="https://example.org/e?a=1&amp;b=2">x</a></p>', ("", "https://example.org/e?a=1&b=2")),
            ("[here](docs/setup.md)", ("here", "docs/setup.md")),
            ("[![build](badge.svg)](https://example.org/ci)", ("build", "https://example.org/ci")),
        ],
    )
    def test_links(self, extraction_of, text, link):
        assert [(found.text, found.url) for found in extraction_of(text).links] == [link]

    @pytest.mark.parametrize(
        "text",
        [
            "[x](javascript:alert(1))",
            '<a href="JavaScript:alert(1)">x</a>',
            "<a href=data:text/html,x>",
            '<a href="java&#9;script:alert(1)">x</a>',
            '<a href="&#1;javascript:alert(1)">x</a>',
            "[up](#top)",
            "```\nhttps://example.org\n```",
        ],
    )
    def test_what_leads_nowhere_or_is_unsafe_is_no_link(self, extraction_of, text):
        assert extraction_of(text).links == []

    def test_a_link_is_reported_once(self, extraction_of):
        assert len(extraction_of("https://example.org/a and https://example.org/a").links) == 1

    def test_a_section_of_three_hundred_words_takes_less_than_a_tenth_of_a_second(self, extraction_of):
        text = GUIDE.replace("```bash\nvalkey-server --appendonly yes  # codeword\n```", "") * 2
        extraction_of(text)

        def processor_time():
            before = time.process_time()
            extraction_of(text)
            return time.process_time() - before

        assert min(processor_time() for _ in range(3)) < 0.1

    def test_the_phrase_library_is_loaded_only_when_it_is_needed(self):
        code = "import sys, agent_service.agents.documents; sys.exit('numpy' in sys.modules or 'yake' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestSummarizer:
    TEXT = GUIDE[GUIDE.index("A replica copies") :]

    def test_sentences_that_carry_the_phrases_are_kept_in_order(self, summary_of):
        summary = summary_of(self.TEXT, ["serve reads", "newest writes"])

        assert summary.sentences == [
            "The replication backlog holds the newest writes, so that a short break does not cost a full copy of the "
            "data set.",
            "Replicas may serve reads.",
        ]
        assert summary.words == 26
        assert not summary.complete

    def test_a_later_round_only_adds(self, summary_of):
        phrases = ["replication backlog", "primary", "full copy"]
        rounds = [summary_of(self.TEXT, phrases, sentences=1, round=number).sentences for number in range(4)]

        assert [len(sentences) for sentences in rounds] == [1, 2, 3, 4]
        for fewer, more in pairwise(rounds):
            assert set(fewer) < set(more)

    def test_a_short_section_is_kept_whole_and_says_so(self, summary_of):
        summary = summary_of("One sentence. Another one.", sentences=5)

        assert summary.sentences == ["One sentence.", "Another one."]
        assert summary.complete

    def test_without_phrases_common_words_decide(self, summary_of):
        text = "The backlog holds writes. Yesterday it rained. The backlog is small when writes are few."
        assert "Yesterday it rained." not in summary_of(text).sentences

    def test_phrases_match_whole_words_in_any_case(self, summary_of):
        text = "A cathedral stands here. The CAT sleeps."
        assert summary_of(text, ["cat"], sentences=1).sentences == ["The CAT sleeps."]

    @pytest.mark.parametrize(
        ("text", "count"),
        [
            ("Dr. Smith met J. Doe at 3. Then they left.", 1),
            ("It works, e.g. here. It is version 3.11.2 of Python.", 2),
            ('"Stop!" he said. (She went on.) Why?', 3),
            ("我们喜欢简单。他们不喜欢。", 2),
            ("First line\nof one sentence. Second.", 2),
            ("- an item\n- another item", 2),
            (" ".join(f"word{number}," for number in range(150)), 3),
            ("", 0),
        ],
    )
    def test_sentences_end_where_a_reader_ends_them(self, text, count):
        assert len(quotable_sentences(text)) == count

    def test_markup_code_and_headings_are_not_quoted(self, summary_of):
        summary = summary_of(
            "## A heading\n\nSome *bold* `code` and [a link](x).\n\n```\nmore code\n```\n<p>Plain.</p>"
        )

        assert summary.sentences == ["Some bold code and a link.", "Plain."]

    def test_a_table_is_quoted_only_where_there_is_no_prose(self, summary_of):
        table = "| setting | meaning |\n| --- | --- |\n| base | First wait. |\n"

        assert "First wait." in summary_of(table, sentences=10).sentences
        assert summary_of(f"Prose.\n\n{table}", sentences=10).sentences == ["Prose."]


class TestCritic:
    def request(self, sentences, phrases, *, words=4, complete=False, **more):
        summary = SectionSummary(index=0, heading="H", sentences=sentences, words=words, complete=complete)
        extraction = Extraction(index=0, key_phrases=[KeyPhrase(phrase=phrase) for phrase in phrases])
        return {"words": 1_000, "summaries": [summary], "extractions": [extraction], **more}

    def test_enough_phrases_are_accepted(self, review_of):
        verdict = review_of(**self.request(["The red fox."], ["red fox", "blue bear"]))

        assert verdict == Review(accepted=True, coverage=0.5, ratio=0.004, notes=[], redo=[])

    def test_too_few_phrases_send_the_section_back(self, review_of):
        verdict = review_of(**self.request(["The red fox."], ["red fox", "blue bear"], min_coverage=0.6))

        assert not verdict.accepted
        assert verdict.redo == [0]
        assert any("blue bear" in note and "H" in note for note in verdict.notes)
        assert not any("red fox" in note for note in verdict.notes)

    def test_a_section_with_nothing_left_to_add_is_not_sent_back(self, review_of):
        verdict = review_of(**self.request(["The red fox."], ["blue bear"], complete=True))

        assert (verdict.accepted, verdict.coverage, verdict.redo) == (False, 0, [])

    def test_summaries_that_are_too_long_are_not_made_longer(self, review_of):
        verdict = review_of(**self.request(["The red fox."], ["blue bear"], words=400, max_ratio=0.3))

        assert (verdict.accepted, verdict.redo) == (False, [])
        assert "40% of the document" in verdict.notes[0]

    def test_a_few_words_are_never_too_long(self, review_of):
        assert review_of(**self.request(["The red fox."], ["red fox"], words=100, max_ratio=0)).accepted

    def test_only_the_poor_sections_are_sent_back(self, review_of):
        verdict = review_of(
            words=100,
            min_coverage=0.7,
            summaries=[SectionSummary(index=index, sentences=["The red fox."], words=3) for index in (0, 1)],
            extractions=[
                Extraction(index=0, key_phrases=[KeyPhrase(phrase="red fox")]),
                Extraction(index=1, key_phrases=[KeyPhrase(phrase="blue bear")]),
                Extraction(index=2, key_phrases=[KeyPhrase(phrase="red fox")]),
            ],
        )

        assert verdict.coverage == pytest.approx(0.3333)
        assert verdict.redo == [1, 2]

    def test_nothing_to_cover_is_covered(self, review_of):
        assert review_of().accepted

    def test_rounds_of_summaries_end_accepted(self, plan_of, review_of, context):
        planned = plan_of(GUIDE)
        extractions = [
            extract.invoke(SectionInput(section=section, language=planned.language), context)
            for section in planned.sections
        ]
        summaries = {}
        redo, coverages = list(range(len(planned.sections))), []
        for number in range(8):
            for index in redo:
                phrases = [phrase.phrase for phrase in extractions[index].key_phrases]
                summaries[index] = summarize.invoke(
                    SummaryRequest(section=planned.sections[index], phrases=phrases, sentences=1, round=number), context
                )
            verdict = review_of(
                words=planned.words,
                summaries=list(summaries.values()),
                extractions=extractions,
                min_coverage=0.9,
                max_ratio=1,
            )
            coverages.append(verdict.coverage)
            redo = verdict.redo
            if not redo:
                break

        assert verdict.accepted
        assert len(coverages) > 1
        assert coverages == sorted(coverages)


class TestWriter:
    SECTIONS = (Section(index=0, heading="First", words=10), Section(index=1, words=5))

    def test_everything_that_was_found_is_in_the_report(self, plan_of, report_of, context):
        planned = plan_of(GUIDE)
        extractions = [extract.invoke(SectionInput(section=section), context) for section in planned.sections]
        summaries = [summarize.invoke(SummaryRequest(section=section), context) for section in planned.sections]
        verdict = Review(accepted=False, coverage=0.25, ratio=0.1, notes=["Too thin."])

        report = report_of(plan=planned, extractions=extractions, summaries=summaries, review=verdict)

        assert report.title == "Valkey guide"
        assert report.markdown.startswith("# Valkey guide\n")
        assert report.sections == len(planned.sections)
        headings = re.findall(r"^## (.*)$", report.markdown, re.MULTILINE)
        assert headings == ["Overview", "Key phrases", "Sections", "Names", "Dates", "Links", "Review"]
        assert "1 code block left out" in report.markdown
        assert "Linux Foundation" in report.markdown
        assert "2024-03-28" in report.markdown
        assert "(<https://valkey.io/topics/persistence/>)" in report.markdown
        assert "Not accepted: the summaries carry 25%" in report.markdown
        assert "- Too thin." in report.markdown

    def test_what_was_not_found_has_no_heading(self, report_of):
        report = report_of(title="Mine", plan=Plan(sections=[Section()]))

        assert re.findall(r"^#+ (.*)$", report.markdown, re.MULTILINE) == ["Mine", "Overview"]

    def test_summaries_stand_in_the_order_of_the_document(self, report_of):
        report = report_of(
            plan=Plan(title="T", sections=list(self.SECTIONS)),
            summaries=[
                SectionSummary(index=1, sentences=["Later."]),
                SectionSummary(index=0, heading="First", sentences=["Sooner."]),
            ],
        )

        assert "### First\n\nSooner.\n\n### Section 2\n\nLater." in report.markdown

    @pytest.mark.parametrize(
        "sentence",
        [
            "<script>alert(1)</script>",
            "*not* _emphasis_ `nor code`",
            "[no](javascript:alert(1)) ![no](x)",
            "# no heading",
            "- no item",
            "1. no item",
            "&amp; stays",
            "C:\\path\\*",
            "snake_case_name",
            "~~~",
        ],
    )
    def test_the_text_of_a_document_is_never_markup(self, report_of, sentence):
        report = report_of(
            plan=Plan(title=sentence, sections=[Section()]),
            summaries=[SectionSummary(heading=sentence, sentences=[sentence])],
        )
        tokens = MarkdownIt("commonmark").parse(report.markdown)
        shown = [
            "".join(child.content for child in token.children)
            for token in tokens
            if token.type == "inline" and all(child.type in ("text", "text_special") for child in token.children)
        ]

        assert shown.count(sentence) == 4


def lines_of(*kinds):
    return st.lists(st.one_of(*kinds), max_size=12).map("\n".join)


def repeated(text):
    return st.builds(lambda piece, times: (piece * times)[:20_000], text, st.integers(1, 5_000))


MARKS = st.sampled_from(
    ["# ", "- ", "1. ", "> ", "[", "](", "**", "_", "<", "<!--", "&", "|", "---", "http://", "\r\n", "."]
)
ANY_TEXT = st.one_of(
    st.text(min_size=1, max_size=2_000),
    repeated(st.text(min_size=1, max_size=12)),
    st.lists(st.one_of(MARKS, st.sampled_from(["```", "~~~", "    "]), st.text(max_size=20)), min_size=1).map("".join),
).filter(bool)
WITHOUT_CODE = st.one_of(
    repeated(st.text(st.characters(exclude_characters="`~", exclude_categories=["Cs"]), min_size=1, max_size=12)),
    lines_of(MARKS, st.text(st.characters(exclude_characters="`~\t", exclude_categories=["Cs"]), max_size=200)),
).filter(lambda text: text and not re.search(r"^[ \t]{4}", text, re.MULTILINE))


def letters(*texts):
    return Counter(run for text in texts for run in re.findall(r"[^\W_]+", text))


def relaxed(examples):
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


class TestAnyText:
    @relaxed(60)
    @given(text=ANY_TEXT)
    def test_the_team_takes_it_to_a_report(self, quiet_context, text):
        planned = plan.invoke(Document(text=text), quiet_context)
        extractions = [extract.invoke(SectionInput(section=section), quiet_context) for section in planned.sections]
        summaries = [
            summarize.invoke(
                SummaryRequest(section=section, phrases=[phrase.phrase for phrase in extraction.key_phrases]),
                quiet_context,
            )
            for section, extraction in zip(planned.sections, extractions, strict=True)
        ]
        verdict = review.invoke(
            ReviewRequest(words=planned.words, summaries=summaries, extractions=extractions), quiet_context
        )
        request = ReportRequest(plan=planned, extractions=extractions, summaries=summaries, review=verdict)
        report = asyncio.run(write.invoke(request, quiet_context))

        assert 1 <= len(planned.sections) <= 40
        assert report.markdown.startswith("# ")
        for given_model in (planned, *extractions, *summaries, verdict, report):
            assert type(given_model).model_validate_json(given_model.model_dump_json()) == given_model

    @relaxed(150)
    @given(text=WITHOUT_CODE)
    def test_no_word_of_prose_is_lost(self, quiet_context, text):
        sections = plan.invoke(Document(text=text), quiet_context).sections

        lost = letters(text) - letters(*(part for section in sections for part in (section.heading, section.text)))
        # What has no break in a thousand characters is no word, and may be cut.
        assert not [run for run in lost if len(run) < 1_000]

    @pytest.mark.parametrize(
        "piece",
        ["[", "![[[]", "*a ", "_a*b", "<", "<!--", "<a href=", "a'", "'", "http://a. ", "Ab of ", "2024-", "- a\n"],
    )
    def test_hostile_repetition_costs_no_more_than_its_length(self, quiet_context, piece):
        def processor_time(chars):
            text = (piece * chars)[:chars]
            before = time.process_time()
            section = make_section(text)
            plan.invoke(Document(text=text), quiet_context)
            extract.invoke(SectionInput(section=section), quiet_context)
            summarize.invoke(SummaryRequest(section=section), quiet_context)
            return time.process_time() - before

        processor_time(100)
        assert processor_time(20_000) < 4


class TestInputs:
    @pytest.mark.parametrize(
        ("model", "payload"),
        [
            (Document, {"text": ""}),
            (Document, {"text": "x" * 2_000_001}),
            (Document, {"text": "x", "titel": "y"}),
            (SectionInput, {"section": {}, "max_phrases": 0}),
            (SectionInput, {"section": {"level": 7}}),
            (SectionInput, {"section": {}, "language": "English"}),
            (SummaryRequest, {"section": {}, "round": -1}),
            (SummaryRequest, {"section": {}, "phrases": [""]}),
            (ReviewRequest, {"min_coverage": 1.1}),
            (ReportRequest, {"plan": {"sections": []}}),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, model, payload):
        with pytest.raises(ValidationError):
            model.model_validate(payload)

    def test_a_text_alone_is_enough(self, context):
        section = {"text": "The queue holds tasks. Workers take tasks from the queue."}

        assert plan.invoke(Document.model_validate({"text": section["text"]}), context).words == 10
        assert extract.invoke(SectionInput.model_validate({"section": section}), context).key_phrases
        assert summarize.invoke(SummaryRequest.model_validate({"section": section}), context).complete


class TestTelemetry:
    def test_each_real_step_is_a_span(self, plan_of, extraction_of, summary_of, review_of, report_of, spans):
        planned = plan_of(GUIDE)
        extraction_of("Some text.")
        summary_of("Some text.")
        review_of()
        report_of(plan=planned)

        assert [span.name.removeprefix("execute_tool ") for span in spans.get_finished_spans()] == [
            "split-markdown",
            "count-words",
            "detect-language",
            "find-links",
            "find-dates",
            "find-names",
            "extract-key-phrases",
            "split-sentences",
            "rank-sentences",
            "score-coverage",
            "render-markdown",
        ]

    def test_no_span_or_log_line_carries_the_text(self, plan_of, extraction_of, spans, caplog):
        with caplog.at_level("INFO", logger="agents"):
            plan_of("Secretword. " * 20)
            extraction_of("Secretword. " * 20)

        assert len(caplog.records) == 2
        assert "Secretword" not in str([vars(line) for line in caplog.records])
        assert "Secretword" not in str([dict(span.attributes) for span in spans.get_finished_spans()])

    def test_a_canceled_task_stops(self, plan_of, extraction_of, summary_of, review_of, report_of, backend):
        planned = plan_of("Text.")
        backend.canceled = True

        for run in (
            lambda: plan_of("Text."),
            lambda: extraction_of("Text."),
            lambda: summary_of("Text."),
            review_of,
            lambda: report_of(plan=planned),
        ):
            with pytest.raises(TaskCanceledError):
                run()
