#!/usr/bin/env python3
"""Stands for kubectl in the tests of upgrade.sh. Records each command in $FAKE/commands, revisions of Deployments in
$FAKE/revisions.json, and the last applied file as $FAKE/applied.yaml. $FAKE/answers.json overrides replies: the
beginning of a command (without options) → [status, standard output, standard error]. An upgrade runs it a hundred
times: it imports little."""

import json
import os
import sys
from pathlib import Path

FAKE = Path(os.environ["FAKE"])
VALUED = {"--namespace", "--output", "--selector", "--filename", "--timeout", "--to-revision", "--tail",
          "--patch"}  # fmt: skip
REPLIES = {
    "version": '"serverVersion": {\n "minor": "34"\n',
    "get storageclass": 'storageclass.kubernetes.io/is-default-class: "true"',
    "get pods": "pod/coredns",
    "get statefulsets": "statefulset.apps/nats",
    "get secret": '{"server.crt": "b"}',
    "get job migrate": "1",
}


def parsed(arguments: list[str]) -> tuple[str, dict[str, str]]:
    words, options, left = [], {}, iter(arguments)
    for one in left:
        if one in VALUED:
            options[one] = next(left)
        elif one.startswith("--"):
            name, _, value = one.partition("=")
            options[f"{name}={value}" if name == "--from-literal" else name] = value
        else:
            words.append(one)
    return " ".join(words), options


def deployment(command: str, options: dict[str, str]) -> str:
    revisions = json.loads((FAKE / "revisions.json").read_text())
    name = command.split()[-1].removeprefix("deployment/")
    if command.startswith("rollout undo"):
        revisions[name] += 1
    elif options.get("--filename") and name == "apply":
        name = options["--selector"].rpartition("=")[2]
        revisions[name] = revisions.get(name, 0) + 1
    (FAKE / "revisions.json").write_text(json.dumps(revisions))
    if "replicas" in options.get("--output", ""):
        return "7" if revisions.get(name) else ""
    return str(revisions.get(name, ""))


def stored(options: dict[str, str]) -> str:
    wanted = options.get("--output", "").removeprefix("jsonpath={.data.").removesuffix("}")
    kept = json.loads((FAKE / "progress.json").read_text()) if (FAKE / "progress.json").exists() else None
    if kept is None:
        sys.exit(1)
    return str(kept.get(wanted, ""))


def main() -> None:
    if sys.argv[1] == "kustomize":
        render: list[str] = json.loads(os.environ["RENDER"])
        os.execvp(render[0], [*render, *sys.argv[2:]])  # noqa: S606
    command, options = parsed(sys.argv[1:])
    shown = " ".join(f"{name}={value}" for name, value in options.items() if name in ("--selector", "--to-revision"))
    dry = " --dry-run" if "--dry-run" in options else ""
    with (FAKE / "commands").open("a") as file:
        file.write(f"{command} {shown}{dry}".strip() + "\n")
    answers = json.loads((FAKE / "answers.json").read_text())
    for beginning, (status, out, error) in answers.items():
        if f"{command} {shown}{dry}".startswith(beginning):
            sys.stdout.write(out)
            sys.stderr.write(error)
            sys.exit(status)
    if command.startswith("create configmap"):
        pairs = [name.partition("=")[2].split("=") for name in options if name.startswith("--from-literal")]
        (FAKE / "progress.json").write_text(json.dumps(dict(pairs)))
    elif command == "apply" and options.get("--filename", "-") != "-" and not dry:
        (FAKE / "applied.yaml").write_bytes(Path(options["--filename"]).read_bytes())
        if "name=" in options["--selector"]:
            deployment(command, options)
    elif command.startswith(("get deployment", "rollout undo")):
        sys.stdout.write(deployment(command, options))
    elif command.startswith("get configmap"):
        sys.stdout.write(stored(options))
    elif command.startswith("patch configmap"):
        kept = json.loads((FAKE / "progress.json").read_text())
        del kept[options["--patch"].removeprefix("data: {").removesuffix(": null}")]
        (FAKE / "progress.json").write_text(json.dumps(kept))
    elif command.startswith("delete configmap"):
        (FAKE / "progress.json").unlink()
    else:
        sys.stdout.write(next((reply for begin, reply in REPLIES.items() if command.startswith(begin)), ""))


main()
