"""Compares templates, and findings of linters with the list of those that stay.

lint.py same A B                                    two templates, but for CDK's metadata
lint.py findings EXCEPTIONS CFN-LINT CHECKOV COUNT  the two reports on COUNT templates
"""

import json
import re
import sys


def plain(logical_id):
    """A logical id without the hash that CDK puts behind it."""
    return re.sub(r"[0-9A-F]{8}(VERSION|[0-9a-f]{32})?$", "", logical_id)


def template(path):
    """A template without what CDK's program adds for itself: the paths of constructs."""
    with open(path) as f:
        t = json.load(f)
    for r in t["Resources"].values():
        own = {k: v for k, v in r.get("Metadata", {}).items() if not k.startswith(("aws:cdk:path", "aws:asset:"))}
        r.pop("Metadata", None)
        if own:
            r["Metadata"] = own
    return t


def same(a, b):
    x, y = template(a), template(b)
    if x == y:
        return 0
    for part in sorted(set(x) | set(y)):
        for key in sorted(set(x.get(part, {})) | set(y.get(part, {}))):
            if (p := x.get(part, {}).get(key)) != (q := y.get(part, {}).get(key)):
                print(f"{part} {key}:\n  {json.dumps(p, sort_keys=True)}\n  {json.dumps(q, sort_keys=True)}", file=sys.stderr)
    print(f"want the same template, got two: {a} {b}", file=sys.stderr)
    return 1


def listed(path):
    """Lines of tool, rule and resource, and for each the comment above it."""
    all, why = {}, ""
    with open(path) as f:
        for line in f:
            line = line.strip()
            if line.startswith("#"):
                why = line.strip("# ")
            elif line:
                all[line] = why
    return all


def findings(exceptions, cfn_lint, checkov, count):
    found = {}
    with open(cfn_lint) as f:
        for x in json.load(f):
            path = x["Location"].get("Path") or ["-", "-"]
            name = plain(path[1]) if len(path) > 1 and path[0] == "Resources" else "-"
            found.setdefault(f"cfn-lint {x['Rule']['Id']} {name}", f"{x['Message']} ({x['Filename']})")
    with open(checkov) as f:
        reports = json.load(f)
    seen = 0
    for report in reports if isinstance(reports, list) else [reports]:
        seen += len({x["file_path"] for x in report["results"]["failed_checks"] + report["results"]["passed_checks"]})
        if report["results"]["parsing_errors"]:
            print("not read by checkov:", *report["results"]["parsing_errors"], file=sys.stderr)
            return 1
        for x in report["results"]["failed_checks"]:
            name = plain(x["resource"].partition(".")[2])
            found.setdefault(f"checkov {x['check_id']} {name}", f"{x['check_name']} ({x['file_path']})")
    if seen != int(count):
        print(f"want checkov to read {count} templates, got {seen}", file=sys.stderr)
        return 1
    known = listed(exceptions)
    new, gone = sorted(set(found) - set(known)), sorted(set(known) - set(found))
    for line in new:
        print(f"found and not in {exceptions}:\n{line}\n  {found[line]}", file=sys.stderr)
    for line in gone:
        print(f"in {exceptions}, and found no more: {line}", file=sys.stderr)
    silent = [line for line, why in known.items() if len(why) < 10]
    for line in silent:
        print(f"in {exceptions} without a reason above it: {line}", file=sys.stderr)
    print(f"cfn-lint and checkov: {count} templates, nothing but the {len(known)} exceptions, each with a reason" if not (new or gone or silent) else f"{len(new)} new, {len(gone)} gone")
    return 1 if new or gone or silent else 0


if __name__ == "__main__":
    sys.exit(same(*sys.argv[2:]) if sys.argv[1] == "same" else findings(*sys.argv[2:]))
