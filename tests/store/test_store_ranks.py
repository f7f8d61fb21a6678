"""The ranks of a job in one run, on every engine: in whatever order their journals are read."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from autotrack import events as ev
from autotrack.store import ranks, writing
from autotrack.store.engine import Store
from autotrack.store.rank_tags import exit_tag, facts_tag
from autotrack.store.reading import Reader

Journals = dict[str, list[ev.Event]]
Record = Callable[..., None]

BROKEN, BAD = ev.ErrorInfo("RuntimeError", "Connection closed by peer"), ev.ErrorInfo("ValueError", "bad", "trace")
DEAD = ev.ErrorInfo("SIGKILL", "killed by SIGKILL")


def joined(run: str, rank: int) -> ev.RankJoined:
    """A rank takes part."""
    return ev.RankJoined(run, f"s{rank}", f"j{rank}", 100, rank, 3, {"pid": rank}, experiment="exp", source="torch")


def first(run: str, *ends: ev.Event) -> list[ev.Event]:
    """The journal of rank 0."""
    return [ev.RunStarted(run, "s0", 100, "fox", "exp"), joined(run, 0), *ends]


def ended(run: str, status: ev.RunStatus, time: int, error: ev.ErrorInfo | None = None) -> list[ev.Event]:
    """What rank 0 writes at the end of its run."""
    return [ev.RunEnded(run, status, time, error), ev.RankEnded(run, 0, status, time, error)]


def raised_elsewhere(run: str) -> Journals:
    """Rank 1 raises; rank 0's communication breaks."""
    other = [joined(run, 1), ev.RankEnded(run, 1, "FAILED", 1500, BAD)]
    return {"j0": first(run, *ended(run, "FAILED", 2000, BROKEN)), "j1": other}


def raised_here(run: str) -> Journals:
    """Rank 0 raises; rank 1's communication breaks."""
    other = [joined(run, 1), ev.RankEnded(run, 1, "FAILED", 2000, BROKEN)]
    return {"j0": first(run, *ended(run, "FAILED", 1500, BAD)), "j1": other}


def killed(run: str) -> Journals:
    """Rank 2 is killed, which its launcher sees after rank 0 and rank 1 have seen their communication break."""
    other = [joined(run, 1), ev.RankEnded(run, 1, "FAILED", 2500, BROKEN)]
    return {
        "j0": first(run, *ended(run, "FAILED", 2000, BROKEN)),
        "j1": other,
        "j2": [joined(run, 2)],
        "agent": [ev.RankEnded(run, 2, "FAILED", 3000, DEAD, killed=True)],
    }


def failed_late(run: str) -> Journals:
    """Rank 1 raises when rank 0 is through."""
    other = [joined(run, 1), ev.RankEnded(run, 1, "FAILED", 3000, BAD)]
    return {"j0": first(run, *ended(run, "FINISHED", 2000)), "j1": other}


def well(run: str) -> Journals:
    """All come to a good end, rank 0 sees one of them go, and rank 1 does so last."""
    told: list[ev.Event] = [ev.RankGone(run, 2, 1800), *ended(run, "FINISHED", 2000), ev.RankGone(run, 2)]
    return {
        "j0": first(run, *told),
        "j1": [joined(run, 1), ev.RankEnded(run, 1, "FINISHED", 2600)],
        "j2": [joined(run, 2), ev.RankEnded(run, 2, "FINISHED", 1700)],
    }


def only_another(run: str) -> Journals:
    """Rank 0 tells nothing."""
    return {"j1": [joined(run, 1), ev.MetricLogged(run, "rank_1/x", 1.0, 200), ev.RankEnded(run, 1, "FINISHED", 300)]}


@pytest.mark.parametrize(
    ("story", "status", "rank", "message"),
    [
        (raised_elsewhere, "FAILED", "1", "rank 1: bad"),
        (raised_here, "FAILED", "0", "rank 0: bad"),
        (killed, "FAILED", "2", "rank 2: killed by SIGKILL"),
        (failed_late, "FAILED", "1", "rank 1: bad"),
        (well, "FINISHED", None, None),
        (only_another, "FINISHED", None, None),
    ],
)
def test_the_rank_that_failed_first_is_named_in_whatever_order_journals_are_read(
    store: Store,
    record: Record,
    reader: Reader,
    story: Callable[[str], Journals],
    status: str,
    rank: str | None,
    message: str | None,
) -> None:
    """Each order gives the same run, also with runs of processes that are gone being ended after every journal."""
    orders = list(itertools.permutations(story("").keys()))
    if not store.location.url.startswith("sqlite"):  # a look at each server is enough
        orders = [orders[0], orders[-1]]
    for number, order in enumerate(orders):
        run = f"{number:032x}"
        told = story(run)
        for journal in order:
            record(*told[journal], journal=journal)
            writing.finish_lost_runs(store, [journal])
        found = reader.run(run)
        info, tags = found.info, found.data.tags
        assert (info.status, info.error and info.error.message) == (status, message), order
        assert (tags["ranks"], tags.get("failed_rank")) == ("3", rank)
        assert tags["rank.1"] == '{"pid":1}'
        assert [key for key in tags if key.startswith("rank.gone")] == []
        if "j0" in told:
            assert (info.run_name, info.session_id, info.start_time) == ("fox", "s0", 100)


def test_a_rank_that_failed_does_not_fail_the_run_that_goes_on_afterwards(record: Record, reader: Reader) -> None:
    """A run that is opened again is open, and what its ranks made of it before does not count any more."""
    run = "a" * 32
    told = raised_elsewhere(run)
    record(*told["j0"], journal="j0")
    record(ev.RunResumed(run, "s5", 5000), journal="j5")
    record(*told["j1"], journal="j1")
    assert reader.run(run).info.status == "RUNNING"
    record(ev.RunEnded(run, "FINISHED", 6000), ev.RankEnded(run, 0, "FINISHED", 6000), journal="j5")
    found = reader.run(run)
    assert (found.info.status, found.info.error) == ("FINISHED", None)
    assert "failed_rank" not in found.data.tags


def test_what_rank_0_says_counts_and_the_others_add_to_it(record: Record, reader: Reader) -> None:
    """Parameters and tags of other ranks are kept where rank 0 has none of that name, before it or after it."""
    run = "b" * 32
    record(
        joined(run, 1),
        ev.ParamsLogged(run, [ev.Param("rank", "1"), ev.Param("only", "1"), ev.Param("only", "2")], weak=True),
        ev.TagsSet(run, {"rank": "1", "only": "1"}, weak=True),
        journal="j1",
    )
    own = [ev.ParamsLogged(run, [ev.Param("rank", "0")]), ev.TagsSet(run, {"rank": "0"})]
    record(*first(run), *own, journal="j0")
    record(
        ev.ParamsLogged(run, [ev.Param("rank", "2"), ev.Param("late", "2")], weak=True),
        ev.TagsSet(run, {"rank": "2", "late": "2"}, weak=True),
        journal="j2",
    )
    data = reader.run(run).data
    assert data.params == {"rank": "0", "only": "1", "late": "2"}
    assert {key: data.tags[key] for key in ("rank", "only", "late")} == data.params


@pytest.mark.parametrize(
    ("seen", "end", "status", "of_rank"),
    [
        (True, None, "FAILED", "FAILED"),
        (False, None, "KILLED", "KILLED"),
        (False, "FINISHED", "FAILED", "FAILED"),
        (True, "FAILED", "FAILED", "FAILED"),
    ],
)
def test_a_rank_that_is_gone_without_a_word_fails_the_run(
    store: Store, record: Record, reader: Reader, seen: bool, end: ev.RunStatus | None, status: str, of_rank: str
) -> None:
    """If rank 0 saw it go, or came to a good end itself; where all are gone together, the run was killed."""
    run = "c" * 32
    opened = [ev.JournalOpened(1, f"j{n}", f"s{n}", "x", "host", "boot", 7, 70, 500) for n in (0, 1)]
    for one in opened:
        with store.transaction() as connection:
            writing.advance_journal(connection, one, 0, 10, 1500)
    told: list[ev.Event] = [ev.RankGone(run, 1, 1600)] if seen else []
    record(*first(run), *told, *(ended(run, end, 1700, BROKEN) if end else []), journal="j0")
    record(joined(run, 1), journal="j1")
    assert ranks.open_ranks(store) == [] if end is None else len(ranks.open_ranks(store)) == 1
    for _ in range(2):
        writing.finish_lost_runs(store, ["j0"])
        lost = ranks.open_ranks(store)
        ranks.finish_lost_ranks(store, lost)
    found = reader.run(run)
    assert (found.info.status, found.data.tags["rank.1.status"]) == (status, of_rank)
    assert found.data.tags.get("failed_rank") == ("1" if status == "FAILED" else None)
    assert [key for key in found.data.tags if key.startswith(("rank.open", "rank.gone"))] == []


@pytest.mark.parametrize(
    ("code", "host", "status", "of_rank", "message"),
    [
        ("0", "here", "FINISHED", "FINISHED", None),
        ("-9", "here", "FAILED", "FAILED", "rank 1: killed by SIGKILL"),
        ("3", "here", "FAILED", "FAILED", "rank 1: exit code 3"),
        ("-9", "there", "FAILED", "FAILED", "rank 1 on there: killed by SIGKILL"),
    ],
)
def test_how_a_rank_was_seen_to_end_is_what_became_of_it(
    store: Store, record: Record, reader: Reader, code: str, host: str, status: str, of_rank: str, message: str | None
) -> None:
    """Exit code 0 is a good end, another one or a signal the run's error; with the host, if it is not rank 0's."""
    run = "d" * 32
    for number, name in enumerate(("here", host)):
        with store.transaction() as connection:
            opened = ev.JournalOpened(1, f"j{number}", f"s{number}", "x", name, "boot", 7, 70, 500)
            writing.advance_journal(connection, opened, 0, 10, 1500)
    seen: list[ev.Event] = [ev.RankGone(run, 1, 1600), ev.TagsSet(run, {exit_tag(1): code})]
    facts = ev.TagsSet(run, {facts_tag(0): '{"host":"here"}'})
    record(*first(run), facts, *seen, *ended(run, "FINISHED", 1700), ev.RankGone(run, 1), journal="j0")
    record(joined(run, 1), journal="j1")
    for _ in range(2):
        ranks.finish_lost_ranks(store, ranks.open_ranks(store))
    found = reader.run(run)
    assert (found.info.status, found.data.tags["rank.1.status"]) == (status, of_rank)
    assert (found.info.error and found.info.error.message) == message
    assert [key for key in found.data.tags if key.startswith(("rank.open", "rank.gone"))] == []
