"""Reads Kubernetes objects in YAML from standard input and says what no API server would take.

Kubernetes' own kinds are held against its schemas, strictly (a field that is not in the schema is wrong), once for
each version named on the command line; those of the Prometheus operator against crds.json beside this file. Prints one
line for each object that is good and one for each fault. Exit code 1 if there is a fault.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

CRDS = json.loads(pathlib.Path(__file__).with_name("crds.json").read_text())


def faults(item, version):
    """What is wrong with an object, as sentences."""
    crd = CRDS.get(f"{item.get('apiVersion')} {item.get('kind')}")
    if crd is not None:
        found = jsonschema.Draft202012Validator({**crd, "$defs": CRDS["$defs"]}).iter_errors(item)
        return [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in found]
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as fault:
        return [f"{'.'.join(map(str, fault.path))}: {fault.message}"]
    except kubernetes_validate.SchemaNotFoundError as fault:
        return [fault.message]
    return []


def main(versions):
    items = [item for item in yaml.safe_load_all(sys.stdin) if item is not None]
    wrong = not items
    for item in items:
        name = f"{item.get('kind')}/{item.get('metadata', {}).get('name')}"
        for version in versions:
            found = faults(item, version)
            for fault in found:
                print(f"WRONG {name} in {version}: {fault}")
            if not found:
                print(f"good {name} in {version}")
            wrong = wrong or bool(found)
    return 1 if wrong else 0


sys.exit(main(sys.argv[1:]))
