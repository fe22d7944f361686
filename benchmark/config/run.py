"""A whole run: settings, method, network and dataset; its identity, its name, and what a record says of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.config.settings import PROTOCOL, Recipe, Settings
from benchmark.data import Images
from benchmark.errors import UserError
from benchmark.fields import Belongs, options_of
from benchmark.models import Network, Shape
from benchmark.user_code import Source

if TYPE_CHECKING:
    from benchmark.pruning import Phase, Pruner

LONGEST = 110  # characters of a run's name


@dataclass(frozen=True)
class RunConfig:
    """A whole run: the settings and what they name. `sources` says where what is not this suite's own is from."""

    settings: Settings
    pruner: Pruner
    network: Network
    images: Images
    sources: Mapping[str, Source] = field(default_factory=dict)  # of pruner, model, dataset

    @property
    def options(self) -> dict[str, Any]:
        """All options by dotted name, as on the command line, with JSON values; for the records."""
        return {name: _plain(value) for name, value in self._values().items()}

    @property
    def retraining(self) -> Recipe:
        """The recipe of a retraining."""
        return self.settings.retraining

    def plan(self, steps: int) -> list[Phase]:
        """The method's plan for a dense training of `steps`; raises MethodError for one that cannot be carried out."""
        from benchmark.pruning import checked_plan, without_retraining

        plan = checked_plan(self.pruner, steps)
        return plan if self.settings.retrain.epochs else without_retraining(plan)

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of what the network is given."""
        return self.network.input_shape(self.images.info.shape, self.settings.image_size)

    @cached_property
    def id(self) -> str:
        """The identity: a hash of the protocol number, the options that differ from their defaults, and own code."""
        return self._digest({"run", "dense", "seed"})

    @cached_property
    def dense_id(self) -> str:
        """The identity of the dense training that this run starts from, the same for all methods."""
        return self._digest({"dense"})

    @property
    def dense_options(self) -> dict[str, Any]:
        """The options that the dense training depends on, and those of its place."""
        belongs = self.belongs
        return {name: value for name, value in self.options.items() if belongs[name] in ("dense", "place")}

    @property
    def belongs(self) -> dict[str, Belongs]:
        """What each option belongs to: the run alone, the dense training too, one seed's run, or only the place."""
        known = {**options_of(Settings), **options_of(type(self.pruner), "pruner.")}
        return {name: known[name].belongs if name in known else "dense" for name in self.options}

    @cached_property
    def name(self) -> str:
        """A name that reads well and is unique in a results folder: it ends with the start of the identity."""
        return f"{self._begin}-s{str(self.settings.seed)[:12]}-{self.id[:8]}"

    @property
    def group(self) -> str:
        """The name of all runs that differ from this one by their seed alone."""
        return f"{self._begin}-{self._digest({'run', 'dense'}, but=('seed',))[:8]}"

    @property
    def call(self) -> str:
        """The method with its sparsity and what differs from a default, as in sweep files: `snip(sparsity=0.5)`."""
        inside = ", ".join(f"{name.removeprefix('pruner.')}={self.options[name]!r}" for name in sorted(self._own_told))
        return f"{self.settings.pruner}({inside})" if inside else self.settings.pruner

    @property
    def _own_told(self) -> list[str]:
        """The options of the method that names tell: its sparsity first, then what differs from its default."""
        told = [name for name in self._method_options if name != "pruner.sparsity"]
        return ["pruner.sparsity", *told] if getattr(self.pruner, "sparsity", None) is not None else told

    @property
    def _begin(self) -> str:
        """What a name begins with: the setting, and the method with its options."""
        method = "-".join([self._called("pruner"), *(_told(name, self.options[name]) for name in self._own_told)])
        parts = [self._called("dataset"), self._called("model"), self.settings.train.optimizer, method]
        whole = re.sub(r"[^A-Za-z0-9._=+-]+", "_", "-".join(parts)).lstrip(".-")
        if len(whole) <= LONGEST - 40:
            return whole
        cut = whole[: LONGEST - 40]
        starts = [m.start() for m in re.finditer(r"-(?=[A-Za-z_])", cut)]  # rounds=10 is not cut to rounds=1
        return cut[: starts[-1]] if starts else cut

    @property
    def head(self) -> dict[str, Any]:
        """What a record says of the run, its config.json."""
        kinds: tuple[Belongs, ...] = ("run", "dense", "seed", "place")
        method = self.sources.get("pruner", Source(self.settings.pruner))
        return {
            "id": self.id,
            "name": self.name,
            "group": self.group,
            "protocol": self.settings.protocol,
            "protocol_number": PROTOCOL,
            "dense_key": self.dense_id,
            "method": {
                "label": method.label,
                "call": self.call,
                "knob": f"pruner.{self.pruner.knob}",
                **method.about,
                "options": self._method_options,
            },
            "sources": {part: source.about for part, source in self.sources.items()},
            "differs": sorted(self._differing()),
            "belongs": {kind: [n for n, to in self.belongs.items() if to == kind] for kind in kinds},
            "config": self.options,
        }

    @property
    def files(self) -> dict[str, bytes]:
        """The user's own code that the run needs again, by the name of its copy in the run's folder."""
        code = ((part, name, content) for part, source in self.sources.items() for name, content in source.files)
        return {f"{code_folder(part)}/{name}": content for part, name, content in code}

    @property
    def _method_options(self) -> dict[str, Any]:
        """The method's own options that are not its defaults."""
        belongs, differing = self.belongs, self._differing()
        return {k: _plain(v) for k, v in differing.items() if k.startswith("pruner.") and belongs[k] == "run"}

    def _called(self, part: str) -> str:
        """The short name of method, network or dataset."""
        given = self.sources[part].name if part in self.sources else getattr(self.settings, part)
        return str(given).replace("/", "-")[:40]

    def _values(self) -> dict[str, Any]:
        values = {name: _value_of(self.settings, name) for name in options_of(Settings)}
        own = {f"pruner.{f.name}": getattr(self.pruner, f.name) for f in dataclasses.fields(self.pruner)}
        return {
            **values,
            **{f"dataset.{k}": v for k, v in self.images.options.items()},
            **{f"model.{k}": v for k, v in self.network.options.items()},
            **own,
        }

    def _differing(self) -> dict[str, Any]:
        """The options that change something: with their default in their place they would be others."""
        found: dict[str, Any] = {}
        options = options_of(Settings)
        place = {name: option.default for name, option in options.items() if option.belongs == "place"}
        anywhere = dataclasses.replace(self.settings, **place)  # the place fills no other option in
        for name, option in options.items():
            if option.belongs != "place" and _differs(anywhere, name, option.default):
                found[name] = _value_of(anywhere, name)
        for prefix, part in (("dataset.", self.images), ("model.", self.network)):
            found |= {prefix + k: v for k, v in part.options.items() if v != part.defaults.get(k)}
        own = options_of(type(self.pruner))
        place = {name: option.default for name, option in own.items() if option.belongs == "place"}
        pruner = dataclasses.replace(self.pruner, **place) if place else self.pruner
        for name, option in own.items():
            if _differs(pruner, name, option.default):
                found[f"pruner.{name}"] = getattr(pruner, name)
        return found

    def _digest(self, kinds: set[str], but: tuple[str, ...] = ()) -> str:
        belongs, left_out = self.belongs, (*self.sources, *but)
        options = {k: _plain(v) for k, v in self._differing().items() if belongs[k] in kinds and k not in left_out}
        sources = {part: source.identity for part, source in self.sources.items() if belongs[part] in kinds}
        text = json.dumps({"protocol": PROTOCOL, "options": options, "sources": sources}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_folder(part: str) -> str:
    """Where, in a run's folder, lies the copy of the user's code that defines a part."""
    return f"code/{part}"


def _value_of(instance: Any, name: str) -> Any:
    for part in name.split("."):
        instance = getattr(instance, part)
    return instance


def _differs(instance: Any, name: str, default: Any) -> bool:
    """Whether an option would have another value if it were left out, with all others as they are."""
    if _value_of(instance, name) == default:
        return False
    first, _, rest = name.partition(".")
    try:
        changed = dataclasses.replace(getattr(instance, first), **{rest: default}) if rest else default
        return _value_of(dataclasses.replace(instance, **{first: changed}), name) != _value_of(instance, name)
    except (UserError, TypeError):  # an option that has to be given, or is needed by another
        return True


def _told(name: str, value: Any) -> str:
    """An option as a part of a run's name; a sparsity goes without saying what it is."""
    short = name.removeprefix("pruner.")
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if short == "sparsity" else f"{short}={text}"


def _plain(value: Any) -> Any:
    """A value as JSON has it; 0 has no sign."""
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return 0.0 if isinstance(value, float) and value == 0 else value
