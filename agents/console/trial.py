"""Tries a rule on the log: exports the log and replays it with the rules in force and with the
others.

Everything runs beside the deployment, in processes of the lowest priority and in a directory that
is deleted afterwards. Nothing is written to Kafka or Redis.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from agents.console.pages.trial import TrialView, compared, rule_block, rules_file
from config.bounded_text import read_text
from config.parameters import ParameterError
from config.rules import SHIPPED, RuleError, TriggerRule
from config.settings import Settings, variable_of
from models.decisions.policy import compile_policy
from models.decisions.trigger import Decision, decode_decision
from models.events.foreign import Foreign
from models.parameters import load_parameters

#: Time limit of a whole trial; a log that needs longer is for the command line.
TIMEOUT_S = 600.0
_ROOT = Path(__file__).resolve().parents[2]
_REFUSALS_TOLD = 3  # Exit code of a finished replay that refused much of its log.
_TRIGGERS = "triggers.jsonl"


class TrialFailed(RuntimeError):
    """A rule could not be tried; the message says why."""


class Trial(NamedTuple):
    """A rule, and the text it was tried with. ``view``: None until the result is known;
    ``problem``: why it never will be.
    """

    rule: str
    text: str
    view: TrialView | None = None
    problem: str = ""


class RuleTrials:
    """Runs one trial at a time, and keeps the latest. ``assignments``: the --set options."""

    def __init__(self, settings: Settings, assignments: Sequence[str]) -> None:
        self._settings = settings
        self._assignments = tuple(assignments)
        self._running: asyncio.Task[None] | None = None
        self.latest: Trial | None = None

    @property
    def is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    def start(self, rule: str, text: str, rules: Sequence[TriggerRule]) -> None:
        """Try ``text`` in place of a rule. Raises `RuleError` if it is not a valid rule."""
        file = rules_file(text if one.name == rule else rule_text(one) for one in rules)
        with TemporaryDirectory(prefix="keepstream-trial-") as name:
            path = Path(name) / "triggers.yaml"
            path.write_text(file, "utf-8")
            _require_rules(self._settings, self._assignments, path)
        self.latest = Trial(rule, text)
        self._running = asyncio.create_task(self._try(self.latest, file))

    async def close(self) -> None:
        """End the running trial."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _try(self, trial: Trial, file: str) -> None:
        try:
            with TemporaryDirectory(prefix="keepstream-trial-") as name:
                folder = Path(name)
                (folder / "triggers.yaml").write_text(file, "utf-8")
                async with asyncio.timeout(TIMEOUT_S):
                    view = await self._compared(folder)
            self.latest = trial._replace(view=view)
        except TimeoutError:
            words = (
                "The log is too long to be tried here: use keepstream export and keepstream replay."
            )
            self.latest = trial._replace(problem=words)
        except TrialFailed as failed:
            self.latest = trial._replace(problem=str(failed))

    async def _compared(self, folder: Path) -> TrialView:
        log, models = folder / "log.jsonl.gz", folder / "models"
        environ = environment(self._settings)
        await run(["export", "--out", str(log), "--models", str(models)], environ)
        return await replayed(log, models, folder / "triggers.yaml", self._assignments, environ)


async def replayed(
    log: Path,
    models: Path,
    triggers: Path,
    assignments: Sequence[str],
    environ: Mapping[str, str],
) -> TrialView:
    """Compare the decisions of the rules in force with those of ``triggers``, on one log."""
    others = f"rules.triggers={json.dumps(str(triggers))}"
    for name, more in (("now", assignments), ("then", [*assignments, others])):
        out = str(triggers.parent / name)
        given = [word for one in more for word in ("--set", one)]
        command = ["replay", str(log), "--out", out, "--models", str(models), *given]
        await run(command, environ)
    now, then = (_decisions(triggers.parent / name / _TRIGGERS) for name in ("now", "then"))
    return await asyncio.to_thread(compared, now, then)


def environment(settings: Settings) -> dict[str, str]:
    """The environment that points a command at this deployment."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    # Passwords are already in the environment, or in the files that it names.
    servers = {variable_of("bootstrap_servers"): settings.bootstrap_servers}
    return {**os.environ, **servers, "PYTHONPATH": path}


async def run(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a `keepstream` command at low priority. Raises `TrialFailed`."""
    command = ["nice", "-n", "19", sys.executable, "-m", "agents.cli", *words]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode not in (0, _REFUSALS_TOLD):
        last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise TrialFailed(f"keepstream {words[0]} ended: {''.join(last)}")


def rule_text(rule: TriggerRule) -> str:
    """The rule's text in its file."""
    path = Path(rule.file)
    if rule.file.startswith(SHIPPED) and not path.is_file():
        shipped = resources.files("config").joinpath(rule.file.removeprefix(SHIPPED))
        return rule_block(shipped.read_text("utf-8"), rule.line)
    return rule_block(read_text(path), rule.line)


def _require_rules(settings: Settings, assignments: Sequence[str], triggers: Path) -> None:
    """Raise `RuleError` with the place in the submitted text instead of the file."""
    file = Path(settings.parameters) if settings.parameters else None
    given = [*assignments, f"rules.triggers={json.dumps(str(triggers))}"]
    try:
        compile_policy(load_parameters(file, given))
    except (RuleError, ParameterError) as error:
        raise RuleError(str(error).replace(str(triggers), "the rules")) from None


def _decisions(path: Path) -> Iterator[Decision]:
    with path.open("rb") as lines:
        for line in lines:
            try:
                yield decode_decision(line)
            except Foreign:
                continue
