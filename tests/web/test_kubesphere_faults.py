"""docs/spec/kubesphere-faults.md names a test for each fault of KubeSphere; here it is seen that those tests exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

PAGE = ROOT / "docs" / "spec" / "kubesphere-faults.md"
ROWS = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if re.match(r"\| [^-]", line)]
FAULTS = {row[-2] if len(row) == 2 else f"{row[0]} {row[1]}": row[-1] for row in ROWS if row[-1] != "test"}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str) -> None:
    """Each test that the page names is there, under that name."""
    named = re.findall(r"`([\w/]+)::(test_\w+)`", FAULTS[fault])
    assert named
    for file, test in named:
        tree = ast.parse((ROOT / "tests" / f"{file}.py").read_text())
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", [row for row in ROWS if re.match(r"R\d", row[0])], ids=lambda row: row[0].split()[0])
def test_threads_are_found_by_their_numbers(row: list[str]) -> None:
    """Each thread's number is in the name of a test of its row; where there is no thread, the row's is."""
    threads = re.findall(r"\b(kk|con|ksi)#(\d+)", row[0])
    wanted = {f"{repository}{number}" for repository, number in threads} or {row[0].lower()}
    names = [word for name in re.findall(r"::(test_\w+)`", row[-1]) for word in name.split("_")]
    assert wanted <= set(names)


def test_no_thread_is_left_out() -> None:
    """The page has all twenty-two requirements that came of users' threads."""
    assert {row[0].split()[0] for row in ROWS if re.match(r"R\d", row[0])} == {f"R{number}" for number in range(1, 23)}


def test_no_point_is_left_out() -> None:
    """The page has all ten points in which gateways are to be better."""
    assert [row[0] for row in ROWS if re.match(r"P\d", row[0])] == [f"P{number}" for number in range(1, 11)]
