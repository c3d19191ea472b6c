#!/usr/bin/env python3
"""Stands for kubectl in the tests of upgrade.sh. Records each command in $FAKE/commands, revisions of Deployments in
$FAKE/revisions, and the last applied file as $FAKE/applied.yaml. $FAKE/answers overrides replies: the beginning of a
command (without options) → [status, standard output, standard error].

An upgrade runs it a hundred times. So it imports nothing that takes time: its files are marshalled.
"""

import marshal
import os
import sys

TYPE_CHECKING = False  # as in typing, which takes time
if TYPE_CHECKING:
    from typing import Any

FAKE = os.environ["FAKE"]
VALUED = {"--namespace", "--output", "--selector", "--filename", "--timeout", "--to-revision", "--tail",
          "--patch"}  # fmt: skip
REPLIES = {
    "version": '"serverVersion": {\n "minor": "34"\n',
    "api-versions": "apps/v1\ncert-manager.io/v1\ncustom.metrics.k8s.io/v1beta2\nmetrics.k8s.io/v1beta1\n",
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


def load(name: str) -> "dict[str, Any]":
    with open(f"{FAKE}/{name}", "rb") as file:
        found: dict[str, Any] = marshal.load(file)  # noqa: S302
    return found


def save(name: str, content: "dict[str, Any]") -> None:
    with open(f"{FAKE}/{name}", "wb") as file:
        marshal.dump(content, file)


def deployment(command: str, options: dict[str, str]) -> str:
    revisions = load("revisions")
    name = command.split()[-1].removeprefix("deployment/")
    if command.startswith("rollout undo"):
        revisions[name] += 1
    elif options.get("--filename") and name == "apply":
        name = options["--selector"].rpartition("=")[2]
        revisions[name] = revisions.get(name, 0) + 1
    save("revisions", revisions)
    if "replicas" in options.get("--output", ""):
        return "7" if revisions.get(name) else ""
    return str(revisions.get(name, ""))


def stored(options: dict[str, str]) -> str:
    wanted = options.get("--output", "").removeprefix("jsonpath={.data.").removesuffix("}")
    if not os.path.exists(f"{FAKE}/progress"):
        sys.exit(1)
    return str(load("progress").get(wanted, ""))


def main() -> None:
    if sys.argv[1] == "kustomize":
        render = os.environ["RENDER"].split()
        os.execvp(render[0], [*render, *sys.argv[2:]])  # noqa: S606
    command, options = parsed(sys.argv[1:])
    shown = " ".join(f"{name}={value}" for name, value in options.items() if name in ("--selector", "--to-revision"))
    dry = " --dry-run" if "--dry-run" in options else ""
    with open(f"{FAKE}/commands", "a") as file:
        file.write(f"{command} {shown}{dry}".strip() + "\n")
    for beginning, (status, out, error) in load("answers").items():
        if f"{command} {shown}{dry}".startswith(beginning):
            sys.stdout.write(out)
            sys.stderr.write(error)
            sys.exit(status)
    if command.startswith("create configmap"):
        pairs = [name.partition("=")[2].split("=") for name in options if name.startswith("--from-literal")]
        save("progress", dict(pairs))
    elif command == "apply" and options.get("--filename", "-") != "-" and not dry:
        with open(options["--filename"]) as given, open(f"{FAKE}/applied.yaml", "w") as applied:
            applied.write(given.read())
        if "name=" in options["--selector"]:
            deployment(command, options)
    elif command.startswith(("get deployment", "rollout undo")):
        sys.stdout.write(deployment(command, options))
    elif command.startswith("get configmap"):
        sys.stdout.write(stored(options))
    elif command.startswith("patch configmap"):
        kept = load("progress")
        del kept[options["--patch"].removeprefix("data: {").removesuffix(": null}")]
        save("progress", kept)
    elif command.startswith("delete configmap"):
        os.unlink(f"{FAKE}/progress")
    else:
        sys.stdout.write(next((reply for begin, reply in REPLIES.items() if command.startswith(begin)), ""))


main()
