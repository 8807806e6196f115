"""The verbs: `python3 -m hack.cluster up|down|status|logs|env|load-image|tools`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from hack.cluster import inspect, lifecycle, tools
from hack.cluster.paths import Paths
from hack.cluster.shell import ClusterError, say

Verb = Callable[[Paths, argparse.Namespace], None]


def _tools(paths: Paths, args: argparse.Namespace) -> None:
    for name in args.names:
        print(tools.ensure(name, paths))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m hack.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, run: Verb, text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = verb(
        "up",
        lambda paths, args: lifecycle.up(paths, args.port, lifecycle.Extent(args.only)),
        "bring the local cluster up with the chart and the sample tenants; again, to bring it to what is here now",
    )
    sub.add_argument(
        "--port", type=int, default=os.environ.get("HOA_PORT") or 8080, help="port of 127.0.0.1 (HOA_PORT)"
    )
    extents = [extent.value for extent in lifecycle.Extent]
    sub.add_argument(
        "--only", choices=extents, default="tenants", help="stop after the node and its addons, or the chart"
    )
    verb("down", lambda paths, _: lifecycle.down(paths), "take the local cluster away, without a trace")
    verb("status", lambda paths, _: inspect.status(paths), "show the node, its pods and the tenants")
    sub = verb("logs", lambda paths, args: inspect.logs(paths, args.component), "show the end of a component's log")
    sub.add_argument("component", nargs="?", default="")
    verb("env", lambda paths, _: inspect.env(paths), 'print exports for a shell: eval "$(make -s env)"')
    sub = verb(
        "load-image",
        lambda paths, args: lifecycle.load_image(paths, args.names),
        "build images of ours by name (app, operator, ...) and load them, or load docker-archive files",
    )
    sub.add_argument("names", nargs="+", metavar="NAME|FILE")
    sub = verb("tools", _tools, "build the named tools where they are not built yet, and print the folders they are in")
    sub.add_argument("names", nargs="+", choices=sorted(tools.TOOLS), metavar="TOOL")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run one verb; an error a person can mend ends in 1 with what to do."""
    args = _parser().parse_args(argv)
    try:
        args.run(Paths.from_env(), args)
    except ClusterError as error:
        say(f"error: {error}")
        if error.hint:
            say(f"hint:  {error.hint}")
        return 1
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; nothing is left to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        say("interrupted; `make down` clears away what was begun")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
