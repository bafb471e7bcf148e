"""Wants just the exceptions among what checkov found: lint.py EXCEPTIONS REPORT."""

import json
import pathlib
import sys


def main(exceptions, report):
    allowed = {line.strip() for line in exceptions.read_text().splitlines() if line.strip() and not line.startswith("#")}
    reports = json.loads(report.read_text())
    found = {}
    read = 0
    for one in reports if isinstance(reports, list) else [reports]:
        read += one["summary"]["resource_count"]
        for failed in one["results"]["failed_checks"]:
            found[failed["check_id"]] = f"{failed['check_name']} ({failed['file_path']}: {failed['resource']})"
        for path in one["results"]["parsing_errors"]:
            found[path.split("/golden/")[-1]] = "cannot be read"
    for name in sorted(set(found) - allowed):
        print(f"{name}: {found[name]}")
    for name in sorted(allowed - set(found)):
        print(f"{name} is an exception that nothing needs")
    print(f"checkov: {read} resources, {len(found)} rules with exceptions")
    return 1 if set(found) != allowed or not read else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
