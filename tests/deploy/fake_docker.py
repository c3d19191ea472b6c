#!/usr/bin/env python3
"""Stands for docker, with Compose, in the tests of deploy/compose/upgrade.sh. $FAKE/state holds what there is: images
by tag, the image of each container, the hash of Valkey's access file. Records each command that changes anything in
$FAKE/commands. In the state, `failing` lists commands that fail, `ill` images with which no container is healthy,
`unseen` edges that the balancer does not have.

An upgrade runs it a hundred times. So it imports nothing that takes time: the state is marshalled.
"""

import marshal
import os
import sys

TYPE_CHECKING = False  # as in typing, which takes time
if TYPE_CHECKING:
    from typing import Any

FAKE = os.environ["FAKE"]
PROJECT = "shop"


def load() -> "dict[str, Any]":
    with open(f"{FAKE}/state", "rb") as file:
        found: dict[str, Any] = marshal.load(file)  # noqa: S302
        return found


STATE = load()
IMAGES, CONTAINERS = STATE["images"], STATE["containers"]


def save() -> None:
    with open(f"{FAKE}/state", "wb") as file:
        marshal.dump(STATE, file)


def tag() -> str:
    return f"dragoman:{os.environ.get('DRAGOMAN_VERSION') or STATE['named']}"


def reply(text: str) -> None:
    sys.stdout.write(f"{text}\n" if text else "")


def compose(arguments: list[str]) -> None:
    name = arguments[-1]
    match arguments[0]:
        case "config" if name == "--services":
            reply("\n".join(STATE["services"]))
        case "config":
            reply("\n".join(f"  {one}:\n    image: {tag()}" for one in ("auth", "edge-1")))
        case "ps":
            reply("\n".join(CONTAINERS))
        case "run" if "--detach" in arguments:
            CONTAINERS[arguments[arguments.index("--name") + 1]] = IMAGES[tag()]
        case "up":
            CONTAINERS[name] = IMAGES[tag()]
        case "run" if name == "secrets":
            STATE["access"] = STATE["next access"]


def containers_of(arguments: list[str]) -> None:
    assert {f"label=com.docker.compose.project={PROJECT}", "label=com.docker.compose.oneoff=False"} < {*arguments}
    (service,) = [one.rpartition("=")[2] for one in arguments if ".service=" in one]
    reply(service if service in CONTAINERS else "")


def execute(service: str) -> None:
    if service == "valkey":
        reply(STATE["access"])
    else:
        line = 'haproxy_server_status{{proxy="edges",server="{}",state="UP"}} {}'
        reply("\n".join(line.format(one, int(one not in STATE["unseen"])) for one in CONTAINERS))


def inspect_image(arguments: list[str]) -> None:
    if arguments[-1] not in IMAGES:
        sys.exit(1)
    identity = IMAGES[arguments[-1]]
    same = [one for one, other in IMAGES.items() if other == identity]
    reply(identity if "{{.Id}}" in arguments else "\n".join([*same, ""]))


def inspect_container(arguments: list[str]) -> None:
    image = CONTAINERS.get(arguments[-1])
    if image is None:
        sys.exit(1)
    if any("Health" in one for one in arguments):
        reply("starting" if image in STATE["ill"] else "healthy")
    else:
        reply(PROJECT if any("Labels" in one for one in arguments) else image)


def main() -> None:
    arguments = sys.argv[1:]
    short = " ".join(one for one in arguments if not one.startswith("-"))
    if short.startswith(("compose up", "compose run", "compose kill", "compose restart", "stop", "tag")):
        with open(f"{FAKE}/commands", "a") as file:
            file.write(f"{short} with {tag()}\n" if short.startswith(("compose up", "compose run")) else f"{short}\n")
    if short in STATE["failing"]:
        sys.exit(f"{short} fails")
    match arguments[0]:
        case "compose":
            compose(arguments[1:])
        case "ps":
            containers_of(arguments)
        case "exec":
            execute(arguments[1])
        case "image":
            inspect_image(arguments)
        case "inspect":
            inspect_container(arguments)
        case "rm":
            for one in arguments:
                CONTAINERS.pop(one, None)
        case "tag":
            IMAGES[arguments[2]] = arguments[1]
        case "logs":
            reply(f"log of {arguments[-1]}")
        case "pull":
            sys.exit("no such image")
    save()


main()
