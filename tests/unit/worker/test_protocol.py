"""What supervisor and child say to each other."""

import socket

import pytest

from agent_service.telemetry import contract
from agent_service.worker.protocol import Channel, Counted, Drain, Ended, ForwardedCounters, Ready, Stop, Suspend


@pytest.fixture
def ends():
    pair = [Channel(sock) for sock in socket.socketpair()]
    yield pair
    for end in pair:
        end.close()


def test_messages_arrive_whole_and_in_order(ends):
    child, supervisor = ends
    ended = Ended("e", "success", 0.5, 1.0, None, None, 0.1, 2, 3, 4)
    sent = [Ready(), ended, Stop("e"), Suspend(True), Drain()]
    for message in sent:
        child.send(message)
    received = []
    while len(received) < len(sent):
        received += supervisor.receive()
    assert received == sent


def test_a_message_that_arrives_in_pieces_is_put_together():
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    theirs.sendall(b'["St')
    assert list(channel.receive()) == []
    theirs.sendall(b'op","x"]\n')
    assert list(channel.receive()) == [Stop("x")]
    ours.close()
    theirs.close()


def test_what_a_dead_child_sent_is_still_read(ends):
    child, supervisor = ends
    child.send(Ready())
    child.close()
    assert list(supervisor.receive()) == [Ready()]
    with pytest.raises(EOFError):
        list(supervisor.receive())


def test_a_count_in_the_child_reaches_the_supervisor(ends):
    child, supervisor = ends
    ForwardedCounters(child).count(contract.TASKS_SUBMITTED, agent="a", queue="q")
    assert list(supervisor.receive()) == [Counted(contract.TASKS_SUBMITTED.name, 1, {"agent": "a", "queue": "q"})]
