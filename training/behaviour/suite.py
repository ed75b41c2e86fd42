"""A harm's behaviour suite: functional tests of a model, read from YAML and expanded to texts and checks.

It follows CheckList (Ribeiro et al. 2020) and HateCheck (Röttger et al. 2021). A text is a template: `{slot}` is
replaced by each of the slot's values in turn. A case's own slots take precedence over those of the suite.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, NamedTuple

import msgspec
from pydantic import Field, StringConstraints

from leads.errors import ConfigurationError
from leads.messages import patterns
from leads.policies import HarmName
from leads.yaml_files import Strict, read_yaml

Kind = Literal["functionality", "invariance", "direction"]
KINDS: tuple[Kind, ...] = ("functionality", "invariance", "direction")
Perturbation = Literal[
    "upper_case", "extra_spaces", "typo", "leet", "spaced_letters", "homoglyphs", "zero_width", "repeated", "emoji"
]
SUITES = Path(__file__).parent / "suites"
TOLERANCE = 0.7

_Template = Annotated[str, StringConstraints(min_length=1, max_length=500)]
_Templates = Annotated[tuple[_Template, ...], Field(min_length=1)]
_Slots = Mapping[HarmName, Annotated[tuple[_Template, ...], Field(min_length=1)]]
_WORD = re.compile(r"[^\W\d_]+")
_HOMOGLYPHS = str.maketrans("aceopxy", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443")
LEET = str.maketrans("aeiostAEIOST", "431057431057")


class BehaviourCheck(msgspec.Struct, frozen=True, array_like=True):
    """One comparison of texts, given by their positions in the suite.

    Args:
        of: in `functionality` and `direction` this text must score above `against`; in `invariance` it must stay close
            to the median of `against`.
        against: the other text; several if one value of a slot is compared with all others.
        groups: the target groups that the texts name, each once.
    """

    of: int
    against: tuple[int, ...]
    groups: tuple[str, ...] = ()


class Case(msgspec.Struct, frozen=True):
    """A test case. `why` explains it; `tolerance` is in log-odds and only used by `invariance`."""

    name: str
    kind: Kind
    why: str
    tolerance: float
    checks: tuple[BehaviourCheck, ...]


class Suite(msgspec.Struct, frozen=True):
    """A harm's suite: distinct texts, and the cases that compare them."""

    harm: str
    texts: tuple[str, ...]
    cases: tuple[Case, ...]

    @property
    def hash(self) -> str:
        """Twelve hex digits of SHA-256. Reports of suites with equal hashes can be compared check by check."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:12]


class _CaseFile(Strict):
    why: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=patterns.ONE_LINE)]
    slots: _Slots = Field(default_factory=dict)
    group: HarmName | None = Field(default=None, description="The slot that names the target group.")


class _Functionality(_CaseFile):
    kind: Literal["functionality"]
    violating: _Templates
    not_violating: _Templates


class _Invariance(_CaseFile):
    kind: Literal["invariance"]
    texts: _Templates
    perturbations: tuple[Perturbation, ...] = ()
    swap: HarmName | None = Field(default=None, description="The slot whose value must make no difference.")
    tolerance: Annotated[float, Field(gt=0, le=10)] = TOLERANCE


class _Change(Strict):
    base: _Template
    changed: _Template
    moves: Literal["rises", "falls"]


class _Direction(_CaseFile):
    kind: Literal["direction"]
    changes: Annotated[tuple[_Change, ...], Field(min_length=1)]


_AnyCase = _Functionality | _Invariance | _Direction


class _SuiteFile(Strict):
    version: Literal[1]
    slots: _Slots = Field(default_factory=dict)
    cases: Annotated[Mapping[HarmName, Annotated[_AnyCase, Field(discriminator="kind")]], Field(min_length=1)]


class _Filled(NamedTuple):
    text: str
    values: Mapping[str, str]


def load(harm: str, folder: Path = SUITES) -> Suite | None:
    """The harm's suite, `<harm>.yaml` in `folder`; None if there is none.

    Raises:
        ConfigurationError: the file is invalid; names file, case and remedy.
    """
    path = folder / f"{harm}.yaml"
    if not path.is_file():
        return None
    read = read_yaml(path, _SuiteFile, remedy="Make it a readable UTF-8 file.")
    texts, cases = dict[str, int](), []
    for name, case in read.cases.items():
        try:
            cases.append(_Expansion(name, case, read.slots, texts).case())
        except ValueError as error:
            raise ConfigurationError(
                f"Case {name!r} is invalid: {error}.", field=str(path), remedy="Fix that case."
            ) from error
    return Suite(harm, tuple(texts), tuple(cases))


class _Expansion:
    """Expands one case to checks and adds its texts to the suite's. Raises ValueError if the case is invalid."""

    def __init__(self, name: str, case: _AnyCase, shared: _Slots, texts: dict[str, int]) -> None:
        self._name = name
        self._case = case
        self._slots = {**shared, **case.slots}
        self._texts = texts
        self._used: set[str] = set()

    def case(self) -> Case:
        case = self._case
        if twice := [slot for slot, values in self._slots.items() if len({*values}) < len(values)]:
            raise ValueError(f"slot {twice[0]!r} has a value twice")
        if isinstance(case, _Functionality):
            checks = list(self._pairs(case))
        elif isinstance(case, _Invariance):
            checks = [*self._perturbed(case), *self._swapped(case)]
        else:
            checks = list(self._moved(case))
        if not checks:
            raise ValueError("it has no checks")
        if unused := ({*case.slots} | ({case.group} if case.group else set())) - self._used:
            raise ValueError(f"none of its texts has the slot {min(unused)!r}")
        tolerance = case.tolerance if isinstance(case, _Invariance) else 0.0
        return Case(self._name, case.kind, case.why, tolerance, tuple(checks))

    def _pairs(self, case: _Functionality) -> Iterator[BehaviourCheck]:
        for above, below in product(self._fill(case.violating), self._fill(case.not_violating)):
            yield self._check(above.text, [below.text], above, below)

    def _perturbed(self, case: _Invariance) -> Iterator[BehaviourCheck]:
        for filled, name in product(self._fill(case.texts), case.perturbations):
            if (changed := PERTURBATIONS[name](filled.text)) != filled.text:
                yield self._check(changed, [filled.text], filled)

    def _swapped(self, case: _Invariance) -> Iterator[BehaviourCheck]:
        for template in case.texts if case.swap else ():
            sets: dict[frozenset[tuple[str, str]], list[_Filled]] = {}
            for filled in self._fill([template]):
                rest = frozenset(item for item in filled.values.items() if item[0] != case.swap)
                sets.setdefault(rest, []).append(filled)
            for alike in sets.values():
                if len(alike) < 2:
                    raise ValueError(f"one of its texts doesn't have two values of slot {case.swap!r} to swap")
                for one in alike:
                    yield self._check(one.text, [other.text for other in alike if other is not one], one)

    def _moved(self, case: _Direction) -> Iterator[BehaviourCheck]:
        for change in case.changes:
            # Both texts get the same values.
            for values in self._values(_slots_of(change.base + change.changed)):
                base, changed = (_Filled(t.format_map(values), values) for t in (change.base, change.changed))
                above, below = (changed, base) if change.moves == "rises" else (base, changed)
                yield self._check(above.text, [below.text], above)

    def _fill(self, templates: Sequence[str]) -> list[_Filled]:
        return [_Filled(t.format_map(values), values) for t in templates for values in self._values(_slots_of(t))]

    def _values(self, slots: Sequence[str]) -> list[dict[str, str]]:
        if unknown := {*slots} - {*self._slots}:
            raise ValueError(f"slot {min(unknown)!r} isn't defined")
        self._used |= {*slots}
        return [dict(zip(slots, one, strict=True)) for one in product(*(self._slots[slot] for slot in slots))]

    def _check(self, of: str, against: Sequence[str], *named: _Filled) -> BehaviourCheck:
        if of in against:
            raise ValueError("one of its texts would be compared with itself")
        group = self._case.group
        groups = dict.fromkeys(filled.values[group] for filled in named if group is not None and group in filled.values)
        at, *others = (self._texts.setdefault(text, len(self._texts)) for text in (of, *against))
        return BehaviourCheck(at, tuple(others), tuple(groups))


def _slots_of(template: str) -> tuple[str, ...]:
    parts = [part for part in Formatter().parse(template) if part[1] is not None]
    if any(spec or conversion or not (slot and slot.isidentifier()) for _, slot, spec, conversion in parts):
        raise ValueError("a slot is a name in braces; write a literal brace twice")
    return tuple(dict.fromkeys(str(slot) for _, slot, _, _ in parts))


def _on_longest_word(change: Callable[[str], str]) -> Callable[[str], str]:
    """Apply a change to the longest word (the first one of equal length), as people who disguise a word would."""

    def changed(text: str) -> str:
        longest = max(_WORD.findall(text), key=len, default="")
        return text.replace(longest, change(longest), 1) if longest else text

    return changed


def _swap_inner(word: str) -> str:
    middle = len(word) // 2
    return word if len(word) < 4 else word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]


# Each keeps the meaning of a text for a human reader.
PERTURBATIONS: Mapping[Perturbation, Callable[[str], str]] = {
    "upper_case": str.upper,
    "extra_spaces": lambda text: text.replace(" ", "   "),
    "typo": _on_longest_word(_swap_inner),
    "leet": lambda text: text.translate(LEET),
    "spaced_letters": _on_longest_word(" ".join),
    "homoglyphs": lambda text: text.translate(_HOMOGLYPHS),
    "zero_width": lambda text: _WORD.sub(lambda word: "\u200b".join(word.group()), text),
    "repeated": _on_longest_word(lambda word: word.replace(middle := word[len(word) // 2], 3 * middle, 1)),
    "emoji": lambda text: f"{text} \N{FIRE}\N{FIRE}",
}
