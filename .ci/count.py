"""Print how many tests ran per folder of tests/, and fail when a folder has fewer than the committed floor.

Usage: count.py REPORT.xml FLOOR [--total]. FLOOR holds lines `folder number`; skipped tests do not count.
With `--total`, prints one closing line `N passed, M failed` instead.
"""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def count(report: Path) -> tuple[Counter[str], int]:
    """Return the number of tests that passed, by folder, and how many did not."""
    ran: Counter[str] = Counter()
    failed = 0
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own pytest wrote it a moment ago
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed += 1
        elif "skipped" not in outcomes:
            # The class name is the path with dots: tests.unit.house.test_shape is in unit/house.
            parts = case.get("classname", "").split(".")
            folders = [part for part in parts[1:] if not part.startswith(("test_", "Test"))]
            ran["/".join(folders[:2]) or "."] += 1
    return ran, failed


def main() -> int:
    """Compare the report with the floor."""
    ran, failed = count(Path(sys.argv[1]))
    if "--total" in sys.argv:
        print(f"{ran.total()} passed, {failed} failed")
        return 0
    lines = Path(sys.argv[2]).read_text().splitlines()
    floor = {folder: int(number) for folder, number in (line.split() for line in lines if line and line[0] != "#")}
    for folder in sorted(ran | Counter(floor.keys())):
        print(f"{folder:24} {ran[folder]:6} tests, floor {floor.get(folder, 0)}")
    short = [folder for folder, least in floor.items() if ran[folder] < least]
    if short:
        print(f"fewer tests than .ci/floor says ran in: {', '.join(short)}", file=sys.stderr)
    return 1 if short or failed else 0


if __name__ == "__main__":
    sys.exit(main())
