"""``python -m rootless_pod.ctime PATH…``: print nanoseconds, source and path, one line a file."""

from __future__ import annotations

import sys

from rootless_pod.ctime.birth import birth_time


def main(paths: list[str]) -> int:
    """Print each path's line; return 1 if one of them has none, 2 if there are no paths."""
    if not paths:
        print("usage: python -m rootless_pod.ctime PATH...", file=sys.stderr)
        return 2
    code = 0
    for path in paths:
        try:
            born = birth_time(path)
        except OSError as cause:
            print(f"{path}: {cause.strerror}", file=sys.stderr)
            code = 1
        else:
            print(born.ns, born.source, path)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
