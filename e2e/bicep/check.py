"""Reads each file of Bicep with pycep and compares it with its ARM template: check.py TESTDATA."""

import json
import pathlib
import re
import sys

import pycep

problems = []
compared = 0


def plain(text):
    """A string's text: pycep leaves escapes as they are."""
    return re.sub(r"\\(u\{([0-9a-f]+)\}|.)", lambda m: chr(int(m[2], 16)) if m[2] else {"n": "\n", "r": "\r", "t": "\t"}.get(m[1], m[1]), text)


def is_expression(value):
    return isinstance(value, str) and value.startswith("[") and value.endswith("]") and not value.startswith("[[")


def same(where, bicep, arm):
    """Literals are equal; what is computed in one is computed in the other."""
    global compared
    compared += 1
    if is_expression(arm):
        if not isinstance(bicep, (str, dict)):
            problems.append(f"{where}: want an expression as {arm}, got {bicep!r}")
    elif isinstance(arm, dict):
        if not isinstance(bicep, dict):
            problems.append(f"{where}: want a mapping, got {bicep!r}")
            return
        keys = {key.strip("'"): value for key, value in bicep.items()}
        literal = {key: value for key, value in arm.items() if not is_expression(key)}
        if len(keys) != len(arm) or not set(literal) <= set(keys):
            problems.append(f"{where}: want the keys {sorted(arm)}, got {sorted(keys)}")
            return
        for key, value in literal.items():
            same(f"{where}.{key}", keys[key], value)
    elif isinstance(arm, list):
        if not isinstance(bicep, list) or len(bicep) != len(arm):
            problems.append(f"{where}: want {len(arm)} entries, got {bicep!r}")
            return
        for i, (one, other) in enumerate(zip(bicep, arm)):
            same(f"{where}[{i}]", one, other)
    else:
        if isinstance(bicep, str):
            bicep = plain(bicep)
        if bicep != (arm[1:] if isinstance(arm, str) and arm.startswith("[[") else arm):
            problems.append(f"{where}: want {arm!r}, got {bicep!r}")


def template(where, bicep, arm):
    for section in ("parameters", "variables", "outputs"):
        if set(bicep.get(section, {})) != set(arm.get(section, {})):
            problems.append(f"{where}: {section}: want {sorted(arm.get(section, {}))}, got {sorted(bicep.get(section, {}))}")
    both = {**bicep.get("resources", {}), **bicep.get("modules", {})}
    if set(both) != set(arm["resources"]):
        problems.append(f"{where}: want the resources {sorted(arm['resources'])}, got {sorted(both)}")
        return
    for symbol, resource in arm["resources"].items():
        at = f"{where}: {symbol}"
        if symbol in bicep.get("modules", {}):
            continue  # read by itself
        one = both[symbol]
        if (one["type"], one["api_version"]) != (resource["type"], resource["apiVersion"]) or one["existing"] != resource.get("existing", False):
            problems.append(f"{at}: want {resource['type']}@{resource['apiVersion']}, got {one['type']}@{one['api_version']}")
        config = {key: value for key, value in one["config"].items() if key not in ("name", "parent", "scope", "dependsOn")}
        body = {key: value for key, value in resource.items() if key not in ("type", "apiVersion", "existing", "name", "scope", "dependsOn")}
        same(at, config, body)
        for needed in one["config"].get("dependsOn", []):
            if needed not in resource.get("dependsOn", []):
                problems.append(f"{at}: waits for {needed}, and not in the template")


def main(testdata):
    parser = pycep.BicepParser()
    files = 0
    for path in sorted((testdata / "golden").rglob("*.bicep")):
        files += 1
        bicep = parser.parse(text=path.read_text())
        case = path.relative_to(testdata / "golden")
        kind, name = case.parts[:2]
        if "modules" in case.parts:
            main_template = json.loads((testdata / "arm" / kind / name / "main.json").read_text())
            # The modules that main.bicep calls, one of which this is.
            inner = [r["properties"]["template"] for r in main_template["resources"].values() if r["type"] == "Microsoft.Resources/deployments"]
            arm = next((t for t in inner if set(t["parameters"]) == set(bicep["parameters"])), None)
            if arm is None:
                problems.append(f"{case}: no template calls it")
                continue
        else:
            arm = json.loads((testdata / "arm" / kind / name / path.with_suffix(".json").name).read_text())
        template(str(case), bicep, arm)
    if problems:
        print("\n".join(problems))
    print(f"{files} files of Bicep, {compared} values compared with their templates, {len(problems)} differ")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
