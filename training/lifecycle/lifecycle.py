"""The lifecycle of a harm's versions: promote, roll back, retire, and decide which alias a new version gets.

Every change is recorded with who made it and why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import Engine

from features.declared.generations import live
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
from training.lifecycle import pages
from training.lifecycle.alias_moves import AliasMoves
from training.lifecycle.candidates import Champion, HarmVersions
from training.lifecycle.outcomes import ChangeReason, Moved, Settled
from training.lifecycle.waiting import why_by_hand


@dataclass(frozen=True)
class Lifecycle:
    """The lifecycle of one harm's versions.

    Every method raises Unavailable if MLflow or the database can't be reached. The change then either didn't happen or
    is completed by the next one.
    """

    settings: Settings
    policy: HarmPolicy
    harm: str
    registry: VersionRegistry
    engine: Engine
    clock: Clock = clock.now

    @property
    def moves(self) -> AliasMoves:
        return AliasMoves(self.settings, self.registry, self.engine)

    @property
    def versions(self) -> HarmVersions:
        return HarmVersions(self.registry, self.harm, place_of(self.settings), live(self.engine))

    def promote(
        self, number: str, data: Callable[[], Dataset], reason: ChangeReason, *, override: bool = False
    ) -> Settled:
        """Make a version champion if it passes the gate; otherwise it keeps the alias it has.

        Args:
            data: gives the harm's data set; only called if the version can be promoted at all.
            override: promote the version even if the gate blocks it. The gate's report is kept with the change.

        Raises:
            NotFound: the version doesn't exist.
            Conflict: it is already the champion or retired, or another process is changing versions.
            ModelRefused: it fails a check of serving's.
            NotEnoughData: there are no labels to judge it on, and `override` is False.
        """
        with self.moves.exclusively(self.harm), tempfile.TemporaryDirectory() as folder:
            versions = self.versions
            versions.check_usable(number)
            aliases = self.registry.aliases(self.harm)
            if aliases.get(CHAMPION) == number:
                raise Conflict(f"Version {number} is already the champion of {self.harm}.", field="VERSION")
            candidate = versions.verified(number, Path(folder))
            champion = versions.champion(Path(folder))
            report = self._judge(candidate, champion, data, override=override)
            if not report.passed and not override:
                self._show(number, candidate, report)
                return Settled(_alias_of(number, aliases), report.text(), report)
            self._give(number, CHAMPION, reason, gate=report)
            self._show(number, candidate, report, overridden=reason)
            return Settled(CHAMPION, report.text(), report)

    def rollback(self, reason: ChangeReason) -> Moved:
        """Roll back to the previous champion. Calling it again goes back one more. Needs no labels.

        Versions that are retired, missing or fail a check are passed over.

        Raises:
            Conflict: no earlier champion can serve, or another process is changing versions.
        """
        with self.moves.exclusively(self.harm):
            return self._roll_back(reason)

    def retire(self, number: str, reason: ChangeReason, *, override: bool = False) -> Moved:
        """Remove a version from service for good, with its aliases. The previous champion replaces a champion.

        Args:
            override: retire the version even if it is the champion.

        Raises:
            NotFound: the version doesn't exist.
            Conflict: it is already retired, or the champion and `override` is False; or another process is changing
                versions.
        """
        with self.moves.exclusively(self.harm):
            self.versions.check_usable(number)
            aliases = self.registry.aliases(self.harm)
            moved = Moved(aliases.get(CHAMPION), aliases.get(CHAMPION))
            if moved.champion == number:
                if not override:
                    raise Conflict(
                        f"Version {number} is the champion of {self.harm}.",
                        field="VERSION",
                        remedy="Promote another version or roll back first, or retire it with --override --why.",
                    )
                moved = self._replace_champion(number, reason)
            alias = _alias_of(number, self.registry.aliases(self.harm))
            self.moves.carry_out(self._change(number, "retired", reason)._replace(alias=alias))
            return moved

    def settle(
        self,
        number: str,
        candidate: ModelVersion,
        data: Dataset,
        folder: Path,
        reason: ChangeReason,
        *,
        promote: bool,
        first: str = CHAMPION,
    ) -> Settled:
        """Give a newly trained version its alias, unless it has one, lost one, or is no longer the newest.

        With `promote`, or if there is no champion, it becomes champion if it passes the gate. Otherwise, or if there is
        no champion and `why_by_hand` says so, it becomes challenger. The process may be killed at any moment and the
        call repeated.

        Args:
            candidate: the version `number`, loaded.
            folder: the champion is fetched to it.
            first: `challenger` makes it challenger even if there is no champion.
        """
        with self.moves.exclusively(self.harm, wait=True):
            changes = self.moves.history(self.harm)
            if not any(change.version == number for change in changes):
                self.moves.record(self._change(number, "registered", reason))
            aliases = self.registry.aliases(self.harm)
            settled = self._already_settled(number, aliases, changes)
            if settled is not None:
                return settled
            champion = aliases.get(CHAMPION)
            if champion is not None and not promote:
                why = f"Version {champion} stays champion until another version is promoted."
                self._give(number, CHALLENGER, ChangeReason(reason.actor, why))
                self._show(number, candidate, None)
                return Settled(CHALLENGER, why)
            report = self._judge(replace(candidate, version=number), self.versions.champion(folder), lambda: data)
            alias, why = (CHAMPION if report.passed else CHALLENGER), report.text()
            if champion is None:
                by_hand = why_by_hand(data, changes, number)
                if report.passed and by_hand:
                    why += f" {by_hand}"
                if by_hand or first != CHAMPION:
                    alias = CHALLENGER
                if alias != CHAMPION:
                    why += f" {self.harm} has no champion until a version is promoted by hand."
            self._give(number, alias, ChangeReason(reason.actor, why), gate=report)
            self._show(number, candidate, report)
            return Settled(alias, why, report)

    def _already_settled(self, number: str, aliases: dict[str, str], changes: list[ModelChange]) -> Settled | None:
        """What was decided about a version before; None if nothing was."""
        alias = _alias_of(number, aliases)
        if alias is not None:
            return Settled(alias, f"It is already the {alias}.")
        known = self.registry.versions(self.harm)
        if known[0].version != number:
            return Settled(None, "A newer version exists. This one can be promoted by hand.")
        if RETIRED in known[0].tags:
            return Settled(None, "It is retired.")
        # Having been canary decides nothing.
        done = [change for change in changes if change.state == "done" and change.alias not in (None, CANARY)]
        given = max((change.seq for change in done if change.version == number), default=None)
        if given is not None and any(change.seq > given and change.alias == CHAMPION for change in done):
            # Somebody made another version champion since. Training again must not undo that.
            return Settled(None, "Another version has been made champion since. This one can be promoted by hand.")
        return None

    def _show(
        self,
        number: str,
        version: ModelVersion,
        report: GateReport | None,
        overridden: ChangeReason | None = None,
    ) -> None:
        uri = self.settings.mlflow
        pages.show_version(self.registry, self.policy, number, version, report, overridden, mlflow_uri=uri)

    def _roll_back(self, reason: ChangeReason) -> Moved:
        champion = self.registry.aliases(self.harm).get(CHAMPION)
        earlier = champions(self.moves.history(self.harm), champion)
        passed_over: list[str] = []
        versions = self.versions
        for number in dict.fromkeys(reversed(earlier)):
            if number == champion:
                continue
            problem = versions.why_unusable(number)
            if problem is None:
                full_reason = ChangeReason(reason.actor, " ".join((reason.why, *passed_over)))
                self.moves.carry_out(self._change(number, "rolled_back", full_reason)._replace(alias=CHAMPION))
                return Moved(number, champion, tuple(passed_over))
            passed_over.append(f"Version {number} was passed over: {problem}")
        where = f"before version {champion}" if champion else "in its history"
        raise Conflict(
            " ".join((f"{self.harm} has no usable champion {where}.", *passed_over)),
            field=self.harm,
            remedy=f"Name the version that should serve: leads models promote {self.harm} VERSION",
        )

    def _replace_champion(self, number: str, reason: ChangeReason) -> Moved:
        """Roll back from a champion that is to be retired. If no earlier one can serve, there is no champion then."""
        try:
            return self._roll_back(ChangeReason(reason.actor, f"Version {number} was retired: {reason.why}"))
        except Conflict:
            return Moved(None, number)

    def _judge(
        self, candidate: ModelVersion, champion: Champion, data: Callable[[], Dataset], *, override: bool = False
    ) -> GateReport:
        try:
            rows = data()
        except (NotEnoughData, NotFound) as error:
            if override:
                return unmeasured(self.harm, candidate, error.message, live(self.engine))
            error.remedy = f"{error.remedy or ''} Or promote it without the gate: --override --why.".strip()
            raise
        return judge(
            self.settings,
            self.policy,
            self.harm,
            candidate,
            champion.version,
            rows,
            why_no_champion=champion.why_none,
        )

    def _give(self, number: str, alias: str, reason: ChangeReason, *, gate: GateReport | None = None) -> None:
        action: Action = "promoted" if alias == CHAMPION else "challenging"
        overridden = alias == CHAMPION and gate is not None and not gate.passed
        report = gate.to_json() if gate else None
        change = self._change(number, action, reason)
        self.moves.carry_out(change._replace(alias=alias, gate=report, overridden=overridden))

    def _change(self, number: str, action: Action, reason: ChangeReason) -> ModelChange:
        return ModelChange(self.clock(), self.harm, number, action, reason.actor, reason.why)


def _alias_of(number: str, aliases: dict[str, str]) -> str | None:
    return next((alias for alias, holder in aliases.items() if holder == number), None)
