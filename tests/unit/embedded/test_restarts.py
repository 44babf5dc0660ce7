from __future__ import annotations

from agent_service.embedded.restarts import RestartPolicy


def test_a_part_that_dies_early_is_started_again_later_and_later():
    policy = RestartPolicy()

    waits = [policy.wait_after(1.0), policy.wait_after(1.0)]

    assert waits == [0.5, 1.0]


def test_the_third_early_death_in_a_row_is_the_last():
    policy = RestartPolicy()

    assert [policy.wait_after(9.9) is None for _ in range(3)] == [False, False, True]


def test_a_part_that_worked_for_a_while_gets_all_its_chances_back():
    policy = RestartPolicy()
    policy.wait_after(1.0)
    policy.wait_after(1.0)

    assert policy.wait_after(3600.0) == 0.25
    assert policy.wait_after(1.0) is not None
