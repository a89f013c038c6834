"""``rpod secret inspect``."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, flag, text
from rootless_pod.errors import RpodError, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless_pod.secrets.store import Secret

COMMAND = Command(
    name="inspect",
    summary="Display what is known of secrets",
    help="Prints what is known of secrets: not the data, unless --showsecret asks for it.",
    options=(
        text("--format", "json, or a Go template", "-f", metavar="FORMAT"),
        flag("--pretty", "Print lines for people"),
        flag("--showsecret", "Show the data too"),
    ),
    arguments=(Argument(name="SECRET", kind="many", least=1, help="Secrets, by name or id"),),
    examples=("rpod secret inspect key", "rpod secret inspect --format '{{.Spec.Labels}}' key"),
    needs_userns=False,
)


def main(call: Call) -> int:
    """Print those that are found; say which are not."""
    from rootless_pod.commands.secret_rows import as_json
    from rootless_pod.commands.template import print_values
    from rootless_pod.commands.times import go_time
    from rootless_pod.secrets.store import find, read_data

    form, shows = call.text("format"), call.flag("showsecret")
    if form and call.flag("pretty"):
        raise Usage("--format and --pretty can't be used together", remedy="give one of the two")
    code = 0
    found: list[tuple[Secret, dict[str, object]]] = []
    for word in call.many("secret"):
        try:
            secret = find(call.paths, word)
            data: dict[str, object] = {"SecretData": read_data(secret).decode(errors="replace")} if shows else {}
        except RpodError as error:
            from rootless_pod.commands.report import report

            code = report(error)
            continue
        found.append((secret, data))
    if call.flag("pretty"):
        sys.stdout.write("".join(_pretty(secret, data) for secret, data in found))
    elif form and form != "json":
        for secret, data in found:
            print_values(form, {**as_json(secret, go_time), **data})
    else:
        import json

        shown = [{**as_json(secret), **data} for secret, data in found]
        sys.stdout.write(json.dumps(shown, indent=4, ensure_ascii=False) + "\n")
    return code


def _pretty(secret: Secret, data: dict[str, object]) -> str:
    from rootless_pod.commands.times import go_time

    rows = [("ID", secret.id), ("Name", secret.name)]
    rows += [("Labels", f" - {key}={value}") for key, value in secret.labels.items()]
    rows += [("Driver", secret.driver)]
    rows += [("Created at", go_time(secret.created_ns)), ("Updated at", go_time(secret.updated_ns))]
    rows += [("Secret", str(value)) for value in data.values()]
    return "".join(f"{title + ':':<19}{value}\n" for title, value in rows)
