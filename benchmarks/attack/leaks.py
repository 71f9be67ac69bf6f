"""Points 11 to 13: no escape sequence reaches a terminal, no password a file, a log or a screen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from benchmarks.attack.attacks import attack, require
from benchmarks.attack.command import steelyard
from benchmarks.attack.ground import (
    ROOT,
    changed_json,
    experiment,
    harmless,
    model,
    refused,
)
from benchmarks.attack.losses import ITEMS

LEAK = "leak"
ESCAPE = "\x1b[2J\x1b]0;owned\x07\x9b5A\u202eabc"


def _model_type(place: Path) -> tuple[str, ...]:
    changed_json(model(place / "m") / "config.json", model_type=ESCAPE)
    return ("eval", "m")


def _architecture(place: Path) -> tuple[str, ...]:
    changed_json(model(place / "m") / "config.json", architectures=[ESCAPE], dtype=ESCAPE)
    return ("eval", "m")


def _template(place: Path) -> tuple[str, ...]:
    text = "{{ raise_exception('" + ESCAPE + "') }}"
    (model(place / "m") / "chat_template.jinja").write_text(text)
    (place / "d.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "a"},
                                 {"role": "assistant", "content": "b"}]}) + "\n"
    )  # fmt: skip
    recipe = "trainer: full, data: d, steps: 1, batch_size: 1"
    experiment(place, {"a": recipe}, base="m", data="{d: {path: d.jsonl}}")
    return ("run", "x.yaml", "--no-gate")


def _tokenizer_class(place: Path) -> tuple[str, ...]:
    changed_json(model(place / "m") / "tokenizer_config.json", tokenizer_class=ESCAPE)
    return ("eval", "m")


def _tensor_name(place: Path) -> tuple[str, ...]:
    from benchmarks.attack.ground import save_tensors, tensors_of

    folder = model(place / "m")
    tensors = tensors_of(folder)
    tensors[ESCAPE] = tensors.pop("model.norm.weight")
    save_tensors(folder, tensors)
    return ("eval", "m")


def _file_name(place: Path) -> tuple[str, ...]:
    folder = model(place / "m")
    (folder / f"{ESCAPE.replace('/', '')}.safetensors").write_bytes(b"x")
    return ("eval", "m")


def _base_name(place: Path) -> tuple[str, ...]:
    experiment(place, {"a": "trainer: prune"}, base=json.dumps(ESCAPE))
    return ("run", "x.yaml")


def _candidate_name(place: Path) -> tuple[str, ...]:
    experiment(place, {json.dumps(ESCAPE): "trainer: prune"})
    return ("run", "x.yaml")


def _trainer_name(place: Path) -> tuple[str, ...]:
    experiment(place, {"a": f"trainer: {json.dumps(ESCAPE)}"})
    return ("run", "x.yaml")


def _argument(place: Path) -> tuple[str, ...]:
    return ("eval", f"./{ESCAPE}")


def _run_name(place: Path) -> tuple[str, ...]:
    return ("show", ESCAPE)


def _option_value(place: Path) -> tuple[str, ...]:
    return ("list", ESCAPE)


def _file_argument(place: Path) -> tuple[str, ...]:
    return ("run", f"{ESCAPE}.yaml")


def _column(place: Path) -> tuple[str, ...]:
    (place / "x.csv").write_text(f"id,{ESCAPE}\nq1,{ESCAPE}\n")
    return ("import", "items", "x.csv")


def _item_id(place: Path) -> tuple[str, ...]:
    (place / "x.csv").write_text(f"id,acc\n{ESCAPE},1\n{ESCAPE},0\n")
    return ("import", "items", "x.csv")


def _yaml_error(place: Path) -> tuple[str, ...]:
    (place / "x.yaml").write_text(f'name: "{ESCAPE}\nbase: [')
    return ("run", "x.yaml")


def _task_name(place: Path) -> tuple[str, ...]:
    (place / "x.csv").write_text(f"id,task,acc\nq1,{ESCAPE},1\nq2,{ESCAPE},0\n")
    return ("import", "items", "x.csv")


ESCAPES: dict[str, Callable[[Path], tuple[str, ...]]] = {
    name.__name__.lstrip("_").replace("_", " "): name
    for name in (
        _model_type, _architecture, _template, _tokenizer_class, _tensor_name, _file_name,
        _base_name, _candidate_name, _trainer_name, _argument, _run_name, _option_value,
        _file_argument, _column, _item_id, _yaml_error, _task_name,
    )
}  # fmt: skip
SHORT = ("model type", "tokenizer class", "argument", "file argument", "option value", "column")


def _escape(name: str, make: Callable[[Path], tuple[str, ...]]) -> None:
    title = f"escape sequences in a {name} do not reach the terminal"

    @attack(f"11 {name}", LEAK, title, in_suite=name in SHORT)
    def attempt(place: Path) -> None:
        (place / "suite.yaml").write_text("name: attack\ntasks: [microworld_known]\n")
        arguments = make(place)
        if arguments[0] == "eval":
            arguments = (*arguments, "--suite", "suite.yaml", "--limit", "2")
        ended = steelyard(*arguments, cwd=place)
        harmless(ended.printed)
        require("Traceback" not in ended.printed, f"traceback: {ended.brief()}")
        require(ended.code != 1, f"exit 1 means a regression: {ended.brief()}")


for _name, _make in ESCAPES.items():
    _escape(_name, _make)


# --- passwords -------------------------------------------------------------------------------

PASSWORDS = ("hunter2/with/slash", "hunter2 with space", "hunter2@with@at", "hunter2#hash?mark",
             "hunter2:colon", "hunter2%41percent", "hunter2'quote\"s")  # fmt: skip
MARK = "hunter2"
#: A store that is away is waited for; what is refused is refused before.
PATIENCE = 6.0


def _addresses(password: str) -> list[str]:
    encoded = quote(password, safe="")
    return [
        f"postgresql://ann:{password}@127.0.0.1:1/x",
        f"postgresql://ann:{encoded}@127.0.0.1:1/x",
        f"postgresql://127.0.0.1:1/x?password={password}",
        f"postgresql://ann@127.0.0.1:1/x?user=ann&password={encoded}&sslmode=disable",
        f"postgresql://ann@127.0.0.1:1/x?artifacts=s3://key:{encoded}@bucket/x",
    ]


@attack("12 password", LEAK, "a password with / @ # or a space is printed by no error")
def odd_passwords(place: Path) -> None:
    """Every address fails to connect, so that every error is one that names the store."""
    (place / "old.csv").write_text(ITEMS)
    for password in PASSWORDS:
        for address in _addresses(password):
            ended = steelyard("list", "runs", "--store", address, cwd=place, seconds=PATIENCE)
            require(MARK not in ended.printed, f"printed: {ended.brief()}")
        ended = steelyard("store", "copy", _addresses(password)[0], cwd=place, seconds=PATIENCE)
        require(MARK not in ended.printed, f"printed by copy: {ended.brief()}")
    _written_nowhere(place)


@attack("12 slash", LEAK, "the same with one password, by the environment", in_suite=True)
def password_of_environment(place: Path) -> None:
    """``STEELYARD_STORE`` is read by each verb."""
    store = {"STEELYARD_STORE": "postgresql://ann:hunter2/a b@c@127.0.0.1:1/x"}
    for verb in (("list", "runs"), ("store", "check"), ("leaderboard", "-o", "site")):
        ended = steelyard(*verb, cwd=place, environment=store, seconds=PATIENCE)
        require(ended.code == 2, f"not refused: {ended.brief()}")
        require(MARK not in ended.printed, f"printed: {ended.brief()}")
    _written_nowhere(place)


CREDENTIALS = (
    "abfs://files/x?account_key=hunter2",
    "s3://bucket/x?secret=hunter2",
    "s3://bucket/x?aws_secret_access_key=hunter2",
    "gs://bucket/x?token=hunter2",
    "sftp://ann:hunter2@host/x",
    "ftp://ann:hunter2@host/x",
    "abfs://files/x?sas_token=sig%3Dhunter2",
    "abfs://files/x?connection_string=AccountKey%3Dhunter2",
)


@attack("12 artifacts", LEAK, "a location that holds a credential is refused with advice")
def credentials_in_artifacts(place: Path) -> None:
    """It would stand in clear in the database."""
    (place / "old.csv").write_text(ITEMS)
    for address in CREDENTIALS:
        for artifacts in (address, quote(address, safe="")):
            store = f"postgresql://ann@127.0.0.1:1/x?artifacts={artifacts}"
            ended = steelyard(
                "import", "items", "old.csv", "--store", store, cwd=place, seconds=PATIENCE
            )
            refused(ended)
            require(MARK not in ended.printed, f"printed: {ended.brief()}")
            advice = any(word in ended.err for word in ("environment", "fsspec", "credential"))
            require(advice, f"no advice: {ended.brief()}")
    _written_nowhere(place)


def _written_nowhere(place: Path) -> None:
    holding = [
        str(path.relative_to(place))
        for path in place.rglob("*")
        if path.is_file() and MARK.encode() in path.read_bytes()
    ]
    require(not holding, f"written to {', '.join(holding)}")


@attack("13", LEAK, "the docs say where Ray keeps a runtime environment", in_suite=True)
def ray_is_documented(place: Path) -> None:
    """Ray writes it to a log that others of the machine may read."""
    text = (ROOT / "docs" / "scaling.md").read_text().lower()
    ray = text.partition("## ray")[2]
    require("runtime environment" in ray and "log" in ray and "secret" in ray, "not said")
    require("169.254.169.254" in text, "the probe of the cloud's address is not said")


@attack("13 secrets", LEAK, "no secret of the environment stands in Ray's logs")
def secrets_in_ray_logs(place: Path) -> None:
    """The driver's own variables; a file of ``--runtime-env`` is the user's word."""
    from benchmarks.attack.command import interpreter

    experiment(place, {"a": "trainer: prune, amount: 0.1"})
    sessions = place / "ray"
    secrets = {
        "PGPASSWORD": "hunter2pg",
        "HF_TOKEN": "hunter2hf",
        "AWS_SECRET_ACCESS_KEY": "hunter2aws",
    }
    os.environ.update(secrets, RAY_TMPDIR=str(sessions))
    try:
        ended = interpreter(
            "run", "x.yaml", "--no-gate", "--executor", "ray", "--address", "local",
            "--workers", "1", cwd=place, seconds=400,
        )  # fmt: skip
    finally:
        for name in (*secrets, "RAY_TMPDIR"):
            os.environ.pop(name, None)
    require(ended.code == 0, f"the run itself failed: {ended.brief()}")
    _written_nowhere(place)
