"""docs/status.md has every reason, phase and column that there is, and no other."""

import re

from qinstruct_operator.api.changes import FIXED, FIXED_PARTS
from qinstruct_operator.api.crd import crd
from qinstruct_operator.constants import (
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.condition_list import CONDITIONS
from qinstruct_operator.core.judge.reasons import NEEDS_ATTENTION, REASONS
from qinstruct_operator.core.judge.reasons import WAITING as WAITING_REASONS
from support.status_docs import TEXT, tables

TABLES = tables()
WAITING = "Reasons to wait"
WITH_WAITING = (CONDITION_PREPARED, CONDITION_SCHEDULED, CONDITION_RUNNING)


def reasons(heading: str) -> list[str]:
    return [row["reason"] for row in TABLES[heading]]


def test_every_reason_of_every_condition_is_explained_once() -> None:
    assert sorted(reasons(WAITING)) == sorted(WAITING_REASONS)
    for condition in CONDITIONS:
        shared = WAITING_REASONS if condition in WITH_WAITING else ()
        assert sorted((*reasons(condition), *shared)) == sorted(REASONS[condition])


def test_conditions_come_in_their_order_and_say_where_to_read_on() -> None:
    headings = re.findall(r"^### (.*)$", TEXT, re.MULTILINE)
    assert tuple(headings) == CONDITIONS
    link = "and the [reasons to wait](#reasons-to-wait)."
    assert TEXT.count(link) == len(WITH_WAITING)


def test_no_cell_is_empty() -> None:
    for heading in (*CONDITIONS, WAITING):
        assert all(all(row.values()) for row in TABLES[heading])


def test_only_an_end_and_work_are_true() -> None:
    true = {
        (condition, row["reason"])
        for condition in CONDITIONS
        for row in TABLES[condition]
        if "True" in row["status"]
    }
    failures = {(CONDITION_FAILED, reason) for reason in reasons(CONDITION_FAILED)}
    assert true == {
        ("Accepted", "Accepted"),
        ("Accepted", "EditIgnored"),
        ("Prepared", "Prepared"),
        ("Scheduled", "Scheduled"),
        ("Running", "Loading"),
        ("Running", "Training"),
        ("Running", "Restarting"),
        ("Running", "Silent"),
        ("Running", "Finishing"),
        ("Running", "Unreadable"),
        ("Complete", "Complete"),
    } | failures - {(CONDITION_FAILED, "InProgress"), (CONDITION_FAILED, "Unreadable")}


def test_columns_are_those_that_kubectl_prints() -> None:
    (version,) = crd()["spec"]["versions"]
    printed = [
        (column["name"], "yes" if column.get("priority") else "")
        for column in version["additionalPrinterColumns"]
    ]
    assert [(row["column"], row["wide"]) for row in TABLES["Columns"]] == printed


def test_the_troubles_that_are_warnings_are_named() -> None:
    (named,) = re.findall(r"by\s+themselves\s+\(([^)]*)\)", TEXT)
    assert set(re.findall(r"`(\w+)`", named)) == NEEDS_ATTENTION


def test_the_usual_course_is_made_of_explained_words() -> None:
    (course,) = re.findall(r"The usual course is([^.]*)\.", TEXT)
    words = set(re.findall(r"`(\w+)`", course))
    known = {row["reason"] for rows in TABLES.values() for row in rows if "reason" in row}
    assert len(words) == 8
    assert words <= known


def test_the_fields_that_are_fixed_at_creation_are_listed() -> None:
    fixed, *_ = TABLES["What can change, and when"]
    assert re.findall(r"`([^`]+)`", fixed["fields"]) == [*FIXED, *FIXED_PARTS]
