"""Promotes, rolls back and retires versions, and settles which alias a new one gets. Every change is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock
from leads.db.model_changes import CANARY, CHALLENGER, CHAMPION, Action, ModelChange, champions
from leads.errors import Conflict, NotEnoughData, NotFound
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.registry.versions import RETIRED, VersionRegistry
from models.text.sentence import place_of
from models.version import ModelVersion
from training.data.dataset import Dataset
from training.gate.gate import GateReport, judge, unmeasured
from training.lifecycle.alias_moves import Moves
from training.lifecycle.candidates import Champion, HarmVersions
from training.lifecycle.outcomes import Moved, Reason, Settled

__all__ = ["Lifecycle", "Moved", "Reason", "Settled", "settle"]


@dataclass(frozen=True)
class Lifecycle:
    """One harm's versions and what may become of them.

    Every method raises Unavailable when MLflow or the database doesn't answer: then nothing has moved, or the next
    change finishes what did.
    """

    settings: Settings
    policy: HarmPolicy
    harm: str
    registry: VersionRegistry
    engine: Engine
    clock: Clock = clock.now

    @property
    def moves(self) -> Moves:
        return Moves(self.settings, self.registry, self.engine)

    @property
    def versions(self) -> HarmVersions:
        return HarmVersions(self.registry, self.harm, place_of(self.settings))

    def promote(self, number: str, data: Callable[[], Dataset], reason: Reason, *, override: bool = False) -> Settled:
        """Let a version answer if the gate passes it; otherwise it keeps the alias it has.

        Args:
            data: gives the harm's rows; asked only when the version could be promoted.
            override: promote also what the gate blocks; what failed is kept with the change.

        Raises:
            NotFound: no such version.
            Conflict: it is the champion already, or retired; or another process changes versions.
            ModelRefused: it fails its own proof, so that serving would refuse it.
            NotEnoughData: there are no labels to judge it on; `override` does without.
        """
        with self.moves.alone(self.harm), tempfile.TemporaryDirectory() as folder:
            self.versions.free(number)
            aliases = self.registry.aliases(self.harm)
            if aliases.get(CHAMPION) == number:
                raise Conflict(f"Version {number} is the champion of {self.harm} already.", field="VERSION")
            candidate = self.versions.proven(number, Path(folder))
            against = self.versions.champion(Path(folder))
            report = self._judge(candidate, against, data, override=override)
            if not report.passed and not override:
                return Settled(_borne(aliases, number), report.text(), report)
            self._give(number, CHAMPION, reason, gate=report)
            return Settled(CHAMPION, report.text(), report)

    def rollback(self, reason: Reason) -> Moved:
        """Let the champion before answer again; rolled back once more, the one before that. Needs no labels.

        A version that is retired, gone or fails its proof is passed over.

        Raises:
            Conflict: no earlier champion is known that could answer; or another process changes versions.
        """
        with self.moves.alone(self.harm):
            return self._roll_back(reason)

    def retire(self, number: str, reason: Reason, *, override: bool = False) -> Moved:
        """Never let a version answer again; the aliases it bears fall. After a champion the one before takes over.

        Raises:
            NotFound: no such version.
            Conflict: it is retired already, or the champion and not `override`; or another process changes versions.
        """
        with self.moves.alone(self.harm):
            self.versions.free(number)
            aliases = self.registry.aliases(self.harm)
            moved = Moved(aliases.get(CHAMPION), aliases.get(CHAMPION))
            if moved.champion == number:
                if not override:
                    raise Conflict(
                        f"Version {number} is the champion of {self.harm}.",
                        field="VERSION",
                        remedy="Promote another or roll back first, or retire it with --override --why.",
                    )
                moved = self._let_go(number, reason)
            alias = _borne(self.registry.aliases(self.harm), number)
            self.moves.carry_out(self._change(number, "retired", reason)._replace(alias=alias))
            return moved

    def settle(
        self,
        number: str,
        candidate: ModelVersion,
        data: Dataset,
        folder: Path,
        reason: Reason,
        *,
        promoting: bool,
        first: str = CHAMPION,
    ) -> Settled:
        """Give a version that was just trained its alias, unless it has one, lost one, or a newer version came since.

        Where no version answers, and when `promoting`, it becomes champion if the gate passes it. Otherwise it becomes
        challenger. It may be killed at any moment and called again.

        Args:
            folder: where the champion is fetched to.
            first: `challenger` keeps it from answering also where no version does.
        """
        with self.moves.alone(self.harm, wait=True):
            changes = self.moves.history(self.harm)
            if not any(change.version == number for change in changes):
                self.moves.note(self._change(number, "registered", reason))
            aliases = self.registry.aliases(self.harm)
            standing = self._standing(number, aliases, changes)
            if standing is not None:
                return standing
            champion = aliases.get(CHAMPION)
            if champion is not None and not promoting:
                why = f"Version {champion} stays champion until a retraining promotes another."
                self._give(number, CHALLENGER, Reason(reason.actor, why))
                return Settled(CHALLENGER, why)
            report = self._judge(replace(candidate, version=number), self.versions.champion(folder), lambda: data)
            wanted = first if champion is None else CHAMPION
            alias, why = (wanted if report.passed else CHALLENGER), report.text()
            if champion is None and alias != CHAMPION:
                why += f" No version of {self.harm} answers till a person promotes one."
            self._give(number, alias, Reason(reason.actor, why), gate=report)
            return Settled(alias, why, report)

    def _standing(self, number: str, aliases: dict[str, str], changes: list[ModelChange]) -> Settled | None:
        """What has been settled about a version before; None when nothing has."""
        borne = _borne(aliases, number)
        if borne is not None:
            return Settled(borne, f"It is the {borne} already.")
        known = self.registry.versions(self.harm)
        if known[0].version != number:
            return Settled(None, "A newer version exists.")
        if RETIRED in known[0].tags:
            return Settled(None, "It is retired.")
        # A trial settles nothing.
        done = [change for change in changes if change.state == "done" and change.alias not in (None, CANARY)]
        given = max((change.seq for change in done if change.version == number), default=None)
        if given is not None and any(change.seq > given and change.alias == CHAMPION for change in done):
            # Somebody chose another since; what is trained again by itself must not undo that.
            return Settled(None, "Another version was put in its place since; a person may promote it again.")
        return None

    def _roll_back(self, reason: Reason) -> Moved:
        champion = self.registry.aliases(self.harm).get(CHAMPION)
        line = champions(self.moves.history(self.harm), champion)
        passed_over: list[str] = []
        for number in dict.fromkeys(reversed(line)):
            if number == champion:
                continue
            reason_against = self.versions.why_not(number)
            if reason_against is None:
                said = Reason(reason.actor, " ".join((reason.why, *passed_over)))
                self.moves.carry_out(self._change(number, "rolled_back", said)._replace(alias=CHAMPION))
                return Moved(number, champion, tuple(passed_over))
            passed_over.append(f"Version {number} was passed over: {reason_against}")
        where = f"before version {champion}" if champion else "of the past"
        raise Conflict(
            " ".join((f"No champion of {self.harm} {where} is known that could answer.", *passed_over)),
            field=self.harm,
            remedy=f"Name the version that shall answer: leads models promote {self.harm} VERSION",
        )

    def _let_go(self, number: str, reason: Reason) -> Moved:
        """Let the one before take over from a champion that is to be retired; None does where there is none."""
        try:
            return self._roll_back(Reason(reason.actor, f"Version {number} is retired: {reason.why}"))
        except Conflict:
            return Moved(None, number)

    def _judge(
        self, candidate: ModelVersion, against: Champion, data: Callable[[], Dataset], *, override: bool = False
    ) -> GateReport:
        try:
            rows = data()
        except (NotEnoughData, NotFound) as error:
            if override:
                return unmeasured(self.harm, candidate, error.message)
            error.remedy = f"{error.remedy or ''} Or promote it without proof: --override --why.".strip()
            raise
        return judge(self.settings, self.policy, self.harm, candidate, against.version, rows, alone=against.alone)

    def _give(self, number: str, alias: str, reason: Reason, *, gate: GateReport | None = None) -> None:
        action: Action = "promoted" if alias == CHAMPION else "challenging"
        overridden = alias == CHAMPION and gate is not None and not gate.passed
        kept = gate.to_json() if gate else None
        change = self._change(number, action, reason)
        self.moves.carry_out(change._replace(alias=alias, gate=kept, overridden=overridden))

    def _change(self, number: str, action: Action, reason: Reason) -> ModelChange:
        return ModelChange(self.clock(), self.harm, number, action, reason.actor, reason.why)


def settle(
    settings: Settings,
    registry: VersionRegistry,
    engine: Engine,
    policy: HarmPolicy,
    version_number: str,
    candidate: ModelVersion,
    data: Dataset,
    folder: Path,
    *,
    promoting: bool,
    actor: str,
    why: str,
    first: str = CHAMPION,
) -> Settled:
    """`Lifecycle.settle` of the candidate's harm."""
    versions = Lifecycle(settings, policy, candidate.harm, registry, engine)
    reason = Reason(actor, why)
    return versions.settle(version_number, candidate, data, folder, reason, promoting=promoting, first=first)


def _borne(aliases: dict[str, str], number: str) -> str | None:
    return next((alias for alias, bearer in aliases.items() if bearer == number), None)
