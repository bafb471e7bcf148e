"""Checks ARM templates against the types that Bicep is built with: bicep_types.py GENERATED TESTDATA.

GENERATED is the folder of that name in a checkout of Azure/bicep-types-az. What is an expression is taken to be of the
right type; the properties of other resources that expressions name have to exist.
"""

import collections
import json
import pathlib
import re
import sys

REQUIRED, READ_ONLY = 1, 2


def is_expression(value):
    return isinstance(value, str) and value.startswith("[") and value.endswith("]") and not value.startswith("[[")


def index(reference):
    return int(reference["$ref"].split("#/")[1])


class Types:
    """The types of one file, by number."""

    def __init__(self, problems):
        self.problems, self.files, self.where, self.count = problems, {}, {}, 0

    def find(self, generated, wanted):
        """Reads the files that have the wanted TYPE@VERSIONs, which are named after the versions."""
        versions = {name.split("@")[0].split("/")[0] + "/" + name.split("@")[1] for name in wanted}
        for path in generated.rglob("types.json"):
            if "/".join(path.parent.parts[-2:]).lower() not in versions:
                continue
            types = self.files[path] = json.loads(path.read_text())
            for number, one in enumerate(types):
                if one["$type"] == "ResourceType" and one["name"].lower() in wanted:
                    self.where[one["name"].lower()] = (types, index(one["body"]))

    def check(self, types, number, value, at):
        if is_expression(value):
            return
        self.count += 1
        one = types[number]
        kind = one["$type"]
        bad = lambda why: self.problems.append(f"{at}: {why}, got {json.dumps(value)[:120]}")
        if kind == "StringLiteralType":
            value == one["value"] or bad(f"want {one['value']}")
        elif kind == "UnionType":
            elements = [types[index(e)] for e in one["elements"]]
            literals = [e["value"] for e in elements if e["$type"] == "StringLiteralType"]
            # Where Azure may add words, Bicep knows these.
            value in literals or bad(f"want one of {literals}")
        elif kind == "StringType":
            ok = isinstance(value, str) and one.get("minLength", 0) <= len(value) <= one.get("maxLength", 1 << 30)
            ok and re.search(one.get("pattern", ""), value) or bad(f"want a string, {one.get('pattern', 'any')}")
        elif kind == "IntegerType":
            ok = isinstance(value, int) and not isinstance(value, bool)
            ok and one.get("minValue", value) <= value <= one.get("maxValue", value) or bad("want a number in its range")
        elif kind == "BooleanType":
            isinstance(value, bool) or bad("want true or false")
        elif kind == "ArrayType":
            if not isinstance(value, list):
                return bad("want a list")
            for i, element in enumerate(value):
                self.check(types, index(one["itemType"]), element, f"{at}[{i}]")
        elif kind in ("ObjectType", "DiscriminatedObjectType"):
            isinstance(value, dict) and self.object(types, one, value, at) or isinstance(value, dict) or bad("want a mapping")
        elif kind != "AnyType":
            bad(f"know no {kind}")

    def object(self, types, one, value, at):
        known = dict(one.get("properties", one.get("baseProperties", {})))
        others = one.get("additionalProperties")
        if "discriminator" in one:
            chosen = one["elements"].get(value.get(one["discriminator"]))
            if chosen is None:
                self.problems.append(f"{at}: want {one['discriminator']} one of {list(one['elements'])}, got {value.get(one['discriminator'])}")
                return
            known.update(types[index(chosen)]["properties"])
            others = others or types[index(chosen)].get("additionalProperties")
        for name, p in known.items():
            if p.get("flags", 0) & REQUIRED and name not in value:
                self.problems.append(f"{at}: {name} is missing")
        for name, inner in value.items():
            if name in known and known[name].get("flags", 0) & READ_ONLY:
                self.problems.append(f"{at}: {name} is read-only")
            elif name in known or others:
                self.check(types, index(known[name]["type"] if name in known else others), inner, f"{at}.{name}")
            else:
                self.problems.append(f"{at}: there is no {name}, but {sorted(known)}")

    def walk(self, key, path, at):
        """path has to be a property of the resource, whoever sets it."""
        types, number = self.where[key]
        for name in path:
            one = types[number]
            known = one.get("properties", one.get("baseProperties", {}))
            if one["$type"] == "AnyType":
                return
            if name in known:
                number = index(known[name]["type"])
            elif one.get("additionalProperties"):
                number = index(one["additionalProperties"])
            else:
                self.problems.append(f"{at}: there is no {name}, but {sorted(known)}")
                return


def templates(document, at):
    yield document, at
    for symbol, resource in document.get("resources", {}).items():
        if resource["type"] == "Microsoft.Resources/deployments":
            yield from templates(resource["properties"]["template"], f"{at}: {symbol}")


def strings(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def main(generated, testdata):
    problems, seen, references = [], collections.Counter(), 0
    documents = [d for path in sorted((testdata / "arm").rglob("*.json")) for d in templates(json.loads(path.read_text()), str(path.relative_to(testdata / "arm")))]
    own = lambda document: {s: r for s, r in document["resources"].items() if r["type"] != "Microsoft.Resources/deployments"}
    key = lambda resource: f"{resource['type']}@{resource['apiVersion']}".lower()
    types = Types(problems)
    types.find(generated, {key(r) for document, _ in documents for r in own(document).values()})
    for document, at in documents:
        for symbol, resource in own(document).items():
            seen[key(resource)] += 1
            if key(resource) not in types.where:
                problems.append(f"{at}: {symbol}: there is no {key(resource)}")
            elif not resource.get("existing"):
                body = {k: v for k, v in resource.items() if k not in ("type", "apiVersion", "dependsOn", "scope")}
                last = re.fullmatch(r"\[format\('(?:\{\d\}/)+\{\d\}', .*'([^']*)'\)\]", body["name"])
                if last:  # a child's own name, which tells its type
                    body["name"] = last[1]
                types.check(*types.where[key(resource)], body, f"{at}: {symbol}")
        for text in strings({k: document.get(k) for k in ("resources", "outputs")}):
            for symbol, full, path in re.findall(r"reference\('(\w+)'(, '[^']*', 'full')?\)((?:\.\w+)*)", text if is_expression(text) else ""):
                if symbol in own(document):
                    references += 1
                    types.walk(key(own(document)[symbol]), ([] if full else ["properties"]) + path.split(".")[1:], f"{at}: {text[:80]}")
    if problems:
        print("\n".join(sorted(set(problems))))
    print(f"{sum(seen.values())} resources of {len(seen)} types, {types.count} values, {references} properties of other resources: {len(set(problems))} are not as Bicep's types have them")
    return 1 if problems or not seen else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
