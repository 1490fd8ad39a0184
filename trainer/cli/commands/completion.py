"""`dltrain completion`: print a script that makes a shell complete command lines, which asks `candidates`."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from glob import escape, glob
from importlib import import_module
from pathlib import Path

from trainer.cli.settings import Settings, Usage
from trainer.cli.shorthand import OWN
from trainer.config.keys import PATHS, SLOTS, key_values, parse_line
from trainer.config.schema import CONF, KNOBS, groups
from trainer.errors import ConfigError
from trainer.files import read_yaml

USAGE = Usage(
    settings={},
    examples=(
        "dltrain completion bash >> ~/.bashrc",
        "dltrain completion zsh >> ~/.zshrc",
        "dltrain completion fish > ~/.config/fish/completions/dltrain.fish",
    ),
    words="bash, zsh or fish",
)
BASH = """_dltrain() {
    local line="${COMP_LINE:0:COMP_POINT}" word reply
    local -a words
    read -ra words <<< "$line"
    [[ "$line" == *" " ]] && words+=("")
    word="${words[-1]}"
    COMPREPLY=()
    while IFS= read -r reply; do
        COMPREPLY+=("${reply#"${word%"${word##*=}"}"}")
    done < <(dltrain completion query "${words[@]:1}" 2> /dev/null)
    [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == *[=/.] ]] && compopt -o nospace
}
complete -F _dltrain dltrain"""
ZSH = """autoload -U +X compinit && compinit
autoload -U +X bashcompinit && bashcompinit
_dltrain() {
    local -a found
    found=("${(@f)$(dltrain completion query "${(@)words[2,CURRENT]}" 2> /dev/null)}")
    compadd -Q -S '' -- $found
}
compdef _dltrain dltrain"""
FISH = (
    """complete -c dltrain -f -a '(dltrain completion query (commandline -opc)[2..] (commandline -ct) 2> /dev/null)'"""
)
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
MOST_RUNS = 20


def main(given: Settings) -> None:
    """Print the script of a shell or, for `query` and the words so far, how the last of them may go on.

    Raises:
        ConfigError: no such shell.
    """
    if given.words[:1] == ["query"]:
        with suppress(Exception):  # nothing but candidates ever reaches the prompt
            print(*sorted({*candidates(given.words[1:] or [""])}), sep="\n")
        return
    if len(given.words) != 1 or given.words[0] not in SCRIPTS:
        raise ConfigError(f"dltrain completion: {' '.join(given.words) or 'which shell'}: expected bash, zsh or fish")
    print(SCRIPTS[given.words[0]])


def candidates(words: Sequence[str]) -> Iterable[str]:
    """Return how the last word may go on: commands, keys, options, values, runs and files."""
    from trainer.cli.commands import COMMANDS

    word, command = words[-1], words[0] if len(words) > 1 and words[0] in COMMANDS else ""
    _, key, value = parse_line(word)
    is_value = value is not None
    found = _values(key, value or "") if is_value else []
    if not is_value and command:
        usage = import_module(f"trainer.cli.commands.{COMMANDS[command][0]}").USAGE
        found = [*(f"{name}=" for name in usage.settings), *(["last", "best"] if "run" in usage.settings else [])]
    if not is_value and (not command or usage.overrides):
        found = [*found, *(f"{name}=" for name in (*groups(_own()), *KNOBS)), *_settings(key_values(words))]
    if not is_value:
        found = [*found, *(COMMANDS if len(words) == 1 else ()), *_files(word)]
    return [each for each in found if each.startswith(word)]


def _own() -> str | None:
    return str(OWN) if OWN.is_dir() else None


def _values(key: str, value: str) -> list[str]:
    options = groups(_own())
    if key in options:
        return [f"{key}={name}" for name in options[key]]
    if key in ("run", "resume", "sweep"):
        runs = sorted(glob("outputs/[0-9]*/*") + glob("outputs/sweeps/*/*"))[-MOST_RUNS:]
        return [f"{key}={run}" for run in ("last", *runs)]
    if key in KNOBS and not isinstance(KNOBS[key].default, bool):
        return [f"{key}={choice}" for choice in KNOBS[key].metadata["choices"]]
    if key in (*PATHS, "path", "input", "output"):
        return [f"{key}={file}" for file in _files(value)]
    return [f"{key}=true", f"{key}=false"] if key in KNOBS else []


def _settings(chosen: dict[str, str]) -> list[str]:
    """Return the keys of the components that are chosen so far."""
    roots = [root / slot / f"{name}.yaml" for root in (CONF, OWN) for slot, name in chosen.items() if slot in SLOTS]
    return [
        f"{file.parent.name}.{key}=" for file in roots if file.is_file() for key in read_yaml(file) if key[0] != "_"
    ]


def _files(start: str) -> list[str]:
    return [f"{path}/" if Path(path).is_dir() else path for path in glob(f"{escape(start)}*")]
