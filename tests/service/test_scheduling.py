"""The queue: nobody is lost, nobody comes twice, nobody waits for more than one round."""

from hypothesis import given
from hypothesis import strategies as st

from smart_matte.service.scheduling import Queue, admitted_bytes
from smart_matte.service.settings import Settings

OWNERS = st.lists(st.integers(0, 5), max_size=40)


class Owner:
    def __init__(self, number: int) -> None:
        self.number = number


class Waiting:
    def __init__(self, client: Owner, byte_count: int) -> None:
        self.client = client
        self.byte_count = byte_count


def job_of(client: Owner, byte_count: int = 1) -> Waiting:
    return Waiting(client, byte_count)


@given(OWNERS)
def test_jobs_run_in_the_order_that_was_foretold(owners: list[int]) -> None:
    clients = [Owner(number) for number in range(6)]
    queue = Queue(Settings())
    jobs = [job_of(clients[number]) for number in owners]
    for job in jobs:
        queue.add(job)
    foretold = queue.order()
    ran = [queue.next() for _ in range(len(queue))]
    assert [id(job) for job in ran] == [id(job) for job in foretold]
    assert sorted(map(id, ran)) == sorted(map(id, jobs))
    assert queue.next() is None
    for client in clients:
        own = [id(job) for job in jobs if job.client is client]
        assert [id(job) for job in ran if job.client is client] == own


@given(OWNERS, st.integers(0, 5))
def test_nobody_waits_for_two_jobs_of_another_client(owners: list[int], late: int) -> None:
    clients = [Owner(number) for number in range(6)]
    queue = Queue(Settings())
    for number in owners:
        queue.add(job_of(clients[number]))
    for _ in range(len(owners) // 2):
        queue.next()
    mine = job_of(clients[late])
    while any(job.client is clients[late] for job in queue.order()):
        queue.next()
    queue.add(mine)
    before = queue.order()[: queue.order().index(mine)]
    assert len({id(job.client) for job in before}) == len(before)


@given(OWNERS, st.data())
def test_a_removed_job_never_runs(owners: list[int], data: st.DataObject) -> None:
    clients = [Owner(number) for number in range(6)]
    queue = Queue(Settings())
    jobs = [job_of(clients[number]) for number in owners]
    for job in jobs:
        queue.add(job)
    gone = data.draw(st.lists(st.sampled_from(jobs))) if jobs else []
    for job in gone:
        queue.remove(job)
    ran = [queue.next() for _ in range(len(queue))]
    assert {id(job) for job in ran} == {id(job) for job in jobs} - {id(job) for job in gone}


def test_who_was_served_longest_ago_is_next() -> None:
    first, second = Owner(1), Owner(2)
    queue = Queue(Settings())
    queue.add(job_of(first))
    queue.next()
    queue.add(job_of(first))
    queue.add(job_of(second))
    assert queue.next().client is second


def test_the_limits_are_those_of_the_settings() -> None:
    queue = Queue(Settings(waiting_per_client=2, waiting_total=3, admitted_bytes=100))
    first, second, third = Owner(1), Owner(2), Owner(3)
    for client in (first, first, second):
        assert not queue.refusal(client, 10, 0)
        queue.add(job_of(client))
    assert "2 of your jobs" in queue.refusal(first, 10, 0)
    assert "3 jobs" in queue.refusal(third, 10, 0)
    queue.next()
    assert not queue.refusal(third, 90, 10)
    assert "memory" in queue.refusal(third, 91, 10)


def test_a_job_larger_than_the_limit_runs_alone() -> None:
    queue = Queue(Settings(admitted_bytes=100))
    assert not queue.refusal(Owner(1), 101, 0)


def test_admitted_bytes_are_the_sum() -> None:
    assert admitted_bytes([job_of(Owner(1), 3), job_of(Owner(2), 4)]) == 7
