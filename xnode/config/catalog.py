"""Catalog: every setting as a row, read from the models: what config.toml shows of it and the reference says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from xnode.config.settings import ENV_PREFIX, Settings
from xnode.config.values import Form, Trait


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. default: as TOML has it, None when it is required; example: one such value, for a required one; field: of the
    section's model; is_live, is_local: see Trait."""

    section: str
    name: str
    description: str
    default: Any
    example: Any
    form: str
    limits: str
    field: str = ""
    is_live: bool = False
    is_local: bool = False

    @property
    def path(self) -> str:
        """The section and the name, as errors have it: "node.listen"."""
        return f"{self.section}.{self.name}"

    @property
    def required(self) -> bool:
        return self.default is None

    @property
    def variable(self) -> str:
        """The variable of the environment that overrides it."""
        return variable_of([*self.section.split("."), self.name])


@dataclass(frozen=True, slots=True)
class Section:
    """One section. optional: a node without that role has none of it, so config.toml does not show it empty."""

    name: str
    description: str
    optional: bool
    settings: tuple[Setting, ...]


def sections() -> Iterator[Section]:
    """Every section, in the order in which config.toml has them."""
    for name, optional, model in _walk(Settings, "", False):
        rows = tuple(_setting_of(name, key, one) for key, one in model.model_fields.items() if _model_of(one) is None)
        yield Section(name, (model.__doc__ or "").strip(), optional, rows)


def settings() -> Iterator[Setting]:
    """Every setting, in that order."""
    for section in sections():
        yield from section.settings


def variable_of(names: Iterable[str]) -> str:
    """The variable of the environment for the setting of these names."""
    return ENV_PREFIX + "__".join(names).upper()


def known_names(section: Sequence[str]) -> list[str]:
    """What may stand in this section, [] when there is no such section."""
    model = _find_model(section)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def describe_value(names: Sequence[str]) -> str:
    """How the value of the setting of these names is written, as the reference has it; "" when there is no such setting."""
    model = _find_model(names[:-1])
    for name, field in model.model_fields.items() if model else ():
        if names[-1] in (name, field.alias):
            return "; ".join(filter(None, (_form_of(field), _limits_of(field))))
    return ""


def is_local(names: Sequence[str]) -> bool:
    """True when the setting of these names is a place of this host, or may hold a secret."""
    return any(one.is_local and one.path == ".".join(names) for one in settings())


def _find_model(section: Sequence[str]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Settings
    for name in section:
        field = model.model_fields.get(name) if model else None
        model = _model_of(field) if field else None
    return model


def _walk(model: type[BaseModel], above: str, optional: bool) -> Iterator[tuple[str, bool, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        inner = _model_of(field)
        if inner:
            absent = optional or type(None) in get_args(field.annotation)
            yield above + name, absent, inner
            yield from _walk(inner, f"{above}{name}.", absent)


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section's model, None for a field that is a setting."""
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _setting_of(section: str, name: str, field: FieldInfo) -> Setting:
    default = None if field.is_required() else _to_toml(field.default)
    example = field.examples[0] if field.examples else default
    words = field.description or ""
    return Setting(
        section,
        field.alias or name,
        words,
        default,
        example,
        _form_of(field),
        _limits_of(field),
        field=name,
        is_live=Trait.LIVE in field.metadata,
        is_local=Trait.LOCAL in field.metadata,
    )


def _to_toml(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case tuple():
            return list(value)
    return value


def _forms_of(field: FieldInfo) -> list[Form]:
    return [one for one in field.metadata if isinstance(one, Form)]


def _form_of(field: FieldInfo) -> str:
    for form in _forms_of(field):
        return form.text
    if get_origin(field.annotation) is Literal:
        return ", ".join(f'"{word}"' for word in get_args(field.annotation))
    plain: dict[Any, str] = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
    return plain[field.annotation]


def _limits_of(field: FieldInfo) -> str:
    return ", ".join(filter(None, (_bounds_of(field), *(one.limits for one in _forms_of(field)))))


def _bounds_of(field: FieldInfo) -> str:
    # A form says its own limits, in its own unit.
    constraints = field.metadata if not _forms_of(field) else ()
    bounds = (
        (words, getattr(one, name, None))
        for one in constraints
        for name, words in (("gt", "over"), ("ge", "at least"), ("le", "at most"))
    )
    return ", ".join(f"{words} {bound}" for words, bound in bounds if bound is not None)
