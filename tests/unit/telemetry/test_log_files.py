"""A log file on a disk that fills up."""

import logging
import resource
import signal
from pathlib import Path

import pytest

from agent_service.telemetry import log_files
from agent_service.telemetry.log_files import LogFile


@pytest.fixture
def log(tmp_path: Path):
    """A logger that writes to one file, and the file's path; both are put away afterwards."""
    path = tmp_path / "log.json"
    handler = LogFile(path, max_bytes=10_000, backups=2)
    made = logging.getLogger("tests.log_files")
    made.propagate = False
    own = logging.getLogger(log_files.__name__)
    own.propagate = False
    for logger in (made, own):
        logger.addHandler(handler)
    made.setLevel("INFO")
    yield made, path
    for logger in (made, own):
        logger.removeHandler(handler)
        logger.propagate = True
    handler.close()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch):
    """A function that lets no file of this process grow past a size; the limit goes at the end of the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    monkeypatch.setattr(log_files, "RETRY_SECONDS", 0.0)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)
    signal.signal(signal.SIGXFSZ, before)


def test_lines_are_written_as_they_come(log):
    logger, path = log
    logger.info("first")
    logger.info("zwölf")
    assert path.read_text() == "first\nzwölf\n"


def test_full_files_are_renamed(log):
    logger, path = log
    for number in range(30):
        logger.info("%04d %s", number, "x" * 994)
    assert sorted(file.name for file in path.parent.iterdir()) == ["log.json", "log.json.1", "log.json.2"]
    lines = [line for file in (path.with_name("log.json.1"), path) for line in file.read_text().splitlines()]
    assert [int(line[:4]) for line in lines] == list(range(30 - len(lines), 30))
    assert all(file.stat().st_size <= 10_000 for file in path.parent.iterdir())


def test_a_full_disk_costs_lines_but_tears_none_and_is_told_once(log, full_disk, capsys):
    logger, path = log
    logger.info("before")
    full_disk(path.stat().st_size + 4)  # room for a part of the next line only
    for number in range(5):
        logger.info("during %d", number)
    full_disk(None)
    logger.info("after")
    logger.info("and on")
    assert path.read_text().splitlines() == [
        "before",
        "during 0",  # cut, and completed later
        "after",
        "4 log lines were lost while the log file was full",
        "and on",
    ]
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 1
    assert f"{path} cannot be written (File too large)" in complaints[0]


def test_a_full_disk_at_a_line_boundary(log, full_disk):
    logger, path = log
    logger.info("before")
    full_disk(path.stat().st_size)
    logger.info("during")
    full_disk(None)
    logger.info("after")
    assert path.read_text().splitlines() == ["before", "after", "1 log lines were lost while the log file was full"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_without_any_room_costs_nothing_but_lines(capsys):
    handler = LogFile(Path("/dev/full"), max_bytes=10_000, backups=0)
    for _ in range(3):
        handler.emit(logging.makeLogRecord({"msg": "a line"}))
    handler.close()
    assert capsys.readouterr().err.count("No space left on device") == 1
