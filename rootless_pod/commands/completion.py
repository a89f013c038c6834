"""``rpod completion SHELL``: the script that makes a shell ask rpod for completions."""

from __future__ import annotations

import sys

from rootless_pod.commands.declare import Argument, Call, Command, Option
from rootless_pod.errors import Usage

# bash splits words at ':' and '=', which image names and --option=value hold: the line is handed over whole,
# and what bash regards as earlier words is cut off the answers again.
BASH = r"""# bash completion for rpod: source <(rpod completion bash)
_rpod_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" word="${COMP_WORDS[COMP_CWORD]:-}" typed answer before=""
    typed="${line##*[[:space:]]}"
    if [[ "$word" == ":" || "$word" == "=" ]]; then
        before="$typed"
    elif [[ "$typed" == *"$word" ]]; then
        before="${typed%"$word"}"
    fi
    before="${before#--*=}"
    COMPREPLY=()
    while IFS=$'\t' read -r answer _; do
        [[ -n "$answer" ]] && COMPREPLY+=("${answer#"$before"}")
    done < <(_TYPER_COMPLETE_ARGS="$line" _TYPER_COMPLETE_FISH_ACTION=get-args _RPOD_COMPLETE=complete_fish \
        "${COMP_WORDS[0]}" 2>/dev/null)
}
complete -o default -F _rpod_completion rpod
"""

ZSH = r"""#compdef rpod
# zsh completion for rpod: source <(rpod completion zsh), or save it as _rpod in a directory of $fpath
_rpod() {
    local -a answers
    local line value words_help
    line="${(j: :)words[1,CURRENT]}"
    while IFS=$'\t' read -r value words_help; do
        [[ -n "$value" ]] && answers+=("${value//:/\\:}${words_help:+:$words_help}")
    done < <(_TYPER_COMPLETE_ARGS="$line" _TYPER_COMPLETE_FISH_ACTION=get-args _RPOD_COMPLETE=complete_fish \
        "${words[1]}" 2>/dev/null)
    if (( ${#answers} )); then
        compset -P '--*='
        _describe -V 'rpod' answers
    else
        _files
    fi
}
if [[ "${funcstack[1]}" == "_rpod" ]]; then
    _rpod "$@"
else
    compdef _rpod rpod
fi
"""

FISH = r"""# fish completion for rpod: rpod completion fish | source
function __rpod_complete
    set -lx _RPOD_COMPLETE complete_fish
    set -lx _TYPER_COMPLETE_FISH_ACTION get-args
    set -lx _TYPER_COMPLETE_ARGS (commandline -cp)
    set -l program (commandline -opc)[1]
    set -l answers (command $program 2>/dev/null | string match -r '.+')
    if test (count $answers) -gt 0
        printf '%s\n' $answers
    else
        __fish_complete_path (commandline -ct)
    end
end
complete --command rpod --no-files --arguments "(__rpod_complete)"
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

COMMAND = Command(
    name="completion",
    summary="Print the completion script of a shell",
    help="Prints a script for bash, zsh or fish that completes commands, options, and names of containers and images.",
    options=(
        Option(
            name="--file",
            short="-f",
            metavar="FILE",
            help="Write the script to a file instead of stdout",
            completes="file",
        ),
    ),
    arguments=(Argument(name="SHELL", help="bash, zsh or fish", completes="shell"),),
    examples=("source <(rpod completion bash)", "rpod completion fish | source"),
    needs_userns=False,
    configuration="none",
)


def main(call: Call) -> int:
    """Print or write the script.

    Raises:
        Usage: the shell is not known, or the file can't be written.
    """
    shell = call.one("shell").rpartition("/")[2]
    if shell not in SCRIPTS:
        raise Usage(f"no completion for the shell {shell!r}", remedy="name one of bash, zsh, fish")
    path = call.text("file")
    if not path:
        sys.stdout.write(SCRIPTS[shell])
        return 0
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(SCRIPTS[shell])
    except OSError as cause:
        raise Usage(f"cannot write {path}: {cause.strerror}", remedy="give a file you may write") from cause
    return 0
