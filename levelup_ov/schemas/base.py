"""Fields that decide in one function, and schemas that msgspec reads first.

marshmallow's own ``load`` is exact but takes most of the time of a request. So msgspec checks a request against types
that are made of the same fields, in a fraction of the time, and gives up at anything wrong or unusual; only then does
``load`` read it, and collect every error with its path. Property tests check that the two agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any

import msgspec
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, missing, post_load, validate
from msgspec import UNSET, UnsetType

from levelup_ov.domain.failure import Failure
from levelup_ov.schemas.body import SMALL, parse

Read = Callable[[Any], Any]

DECLINED = (ValueError, ValidationError, OverflowError, RecursionError)
"""What the quick way raises if something is wrong or unusual. It says nothing; ``load`` decides."""

_ANYTHING = bool | int | float | str | list[Any] | dict[str, Any]
"""The type of a member whose :meth:`Reader.read` decides; whether it may be null is decided before."""
_LIMITS = {"minimum": "ge", "maximum": "le", "minLength": "min_length", "maxLength": "max_length"}
"""OpenAPI's names of limits, and msgspec's."""
_CONTROL = re.compile(rb"\\(?:[bf]|u00)")
"""A control character as msgspec writes it. What follows an escaped backslash may look the same."""
_write = msgspec.json.Encoder().encode


class Reader(fields.Field[Any]):
    """A field that decides in :meth:`read` alone; ``documented`` describes it for OpenAPI.

    ``exact``: the type of all values that :meth:`read` accepts and returns unchanged, if type and ``documented`` say
    everything that it checks, except for control characters. A subclass does not inherit it, as it may check more.
    """

    documented: Mapping[str, Any] = {}
    exact: Any = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, metadata=dict(self.documented))

    def read(self, value: Any) -> Any:
        """The value to use. :raises ValueError: the message says what is expected."""
        raise NotImplementedError

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return self.read(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class WireSchema(Schema):
    """A schema whose :meth:`build` makes the domain's object. Unknown members are ignored (EP-8)."""

    class Meta:
        unknown = EXCLUDE

    error_messages = {"type": "expected an object", "unknown": "unknown member"}

    def build(self, values: dict[str, Any]) -> Any:
        """The object made of checked members. :raises ValidationError: they contradict one another."""
        return values

    @post_load
    def _build(self, values: dict[str, Any], **kwargs: Any) -> Any:
        return self.build(values)

    def finish(self, found: Any) -> Any:
        """What ``load`` returns, made of what msgspec read. :raises Exception: one of :data:`DECLINED`."""
        values = msgspec.structs.asdict(found)
        for name, finish, default in self._unfinished:
            value = values[name]
            if value is UNSET:
                values[name] = default
            elif finish is not None and value is not None:
                values[name] = finish(value)
        return self.build(values)

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Use the same message for every member."""
        field_obj.error_messages |= {"required": "is missing", "null": "may not be null"}
        if isinstance(field_obj, fields.List):
            field_obj.error_messages["invalid"] = "expected a list"
        if isinstance(field_obj, fields.Nested):
            field_obj.error_messages["type"] = "expected an object"

    @cached_property
    def struct(self) -> type[msgspec.Struct]:
        """What msgspec reads; members that the data does not have are ``UNSET``."""
        members = [_member(name, field) for name, field in self.load_fields.items()]
        strict = self.unknown == RAISE
        return msgspec.defstruct(type(self).__name__, members, kw_only=True, gc=False, forbid_unknown_fields=strict)

    @cached_property
    def _unfinished(self) -> list[tuple[str, Any, Any]]:
        members = [(name, _finish(field), field.load_default) for name, field in self.load_fields.items()]
        return [each for each in members if each[1:] != (None, missing)]


class WrapperSchema(WireSchema):
    """A wrapper around one required object; reading it returns that object."""

    def build(self, values: dict[str, Any]) -> Any:
        return next(iter(values.values()))

    def finish(self, found: Any) -> Any:
        ((name, finish, _),) = self._unfinished
        return finish(getattr(found, name))


class Body:
    """How a body is read whose one root member is ``root`` (EP-10); None: the body itself is the object."""

    def __init__(self, root: str | None, schema: WireSchema) -> None:
        self._root, self._schema = root, schema
        kind = schema.struct if root is None else msgspec.defstruct("Root", [(root, schema.struct)])
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, body: bytes) -> Any:
        """The object in ``body``. :raises Failure: ``invalid_member``, or one of :func:`parse`."""
        if len(body) <= SMALL:
            try:
                return self.read_quickly(body)
            except DECLINED:
                pass
        return self.read_parsed(parse(body))

    def read_parsed(self, body: Any) -> Any:
        """The same of parsed JSON. :raises Failure: ``invalid_member``."""
        return read_body(self._schema, body) if self._root is None else read_root(self._schema, self._root, body)

    def read_quickly(self, body: bytes) -> Any:
        """What :meth:`read` returns. :raises Exception: one of :data:`DECLINED`."""
        found = self._decode(body)
        if not _is_whole(_write(found), body):
            raise ValueError
        return self._schema.finish(found if self._root is None else getattr(found, self._root))


def read_quickly(schema: WireSchema, data: Any) -> Any:
    """What ``load`` of ``schema`` returns. :raises Exception: one of :data:`DECLINED`."""
    found = msgspec.convert(data, schema.struct)
    if _CONTROL.search(_write(found)):
        raise ValueError
    return schema.finish(found)


def _is_whole(written: bytes, body: bytes) -> bool:
    """Whether ``body`` has nothing but what was read of it, which is ``written``, and no control character.

    msgspec ignores a member that appears twice or is not known; at least its colon is then missing.
    """
    if b"\\" in body and (b"\\u003" in body or _CONTROL.search(written)):
        return False  # a colon that is written as an escape could not be counted
    return written.count(b":") == body.count(b":")


def read_root(schema: WireSchema, root: str, body: Any) -> Any:
    """The object in the one root member of ``body`` (EP-10).

    :raises Failure: ``invalid_member``, naming the first member that is wrong and all others in words.
    """
    if type(body) is not dict or type(body.get(root)) is not dict:
        path = "$" if type(body) is not dict else f"$.{root}"
        raise Failure(
            "invalid_member",
            f"{path}: expected an object with the member {root}" if path == "$" else f"{path}: expected an object",
            path=path,
        )
    return read_at(schema, body[root], f"$.{root}")


def read_body(schema: WireSchema, body: Any) -> Any:
    """The object that ``body`` is, without a root member. :raises Failure: as in :func:`read_root`."""
    if type(body) is not dict:
        raise Failure("invalid_member", "$: expected an object", path="$")
    return read_at(schema, body, "$")


def read_at(schema: WireSchema, data: Any, path: str) -> Any:
    """The object that ``data`` is, which was found at ``path``. :raises Failure: as in :func:`read_root`."""
    try:
        return read_quickly(schema, data)
    except DECLINED:
        pass
    try:
        return schema.load(data)
    except ValidationError as error:
        problems = list(_problems(error.messages, path))
        shown = "; ".join(f"{place}: {message}" for place, message in problems[:10])
        if len(problems) > 10:
            shown += f"; and {len(problems) - 10} more"
        raise Failure("invalid_member", shown, path=problems[0][0]) from None


def _member(name: str, field: fields.Field[Any]) -> tuple[Any, ...]:
    kind = _type(field) | None if field.allow_none else _type(field)
    return (name, kind) if field.load_default is missing else (name, kind | UnsetType, UNSET)


def _type(field: Any) -> Any:
    """What msgspec checks of a value that is not null."""
    kind: Any = type(field)
    if kind is fields.Nested:
        return field.schema.struct
    if kind is fields.List:
        (length,) = field.validators or [validate.Length()]
        kind = list
        return Annotated[kind[_type(field.inner)], msgspec.Meta(min_length=length.min, max_length=length.max)]
    limits = {_LIMITS[name]: limit for name, limit in field.documented.items() if name in _LIMITS}
    return Annotated[field.exact, msgspec.Meta(**limits)] if _is_exact(field) else _ANYTHING


def _finish(field: Any) -> Read | None:
    """What is left to do with a value that msgspec accepted, if anything."""
    kind: Any = type(field)
    if kind is fields.Nested:
        return field.schema.finish
    if kind is fields.List:
        finish = _finish(field.inner)
        return finish and (lambda values: [finish(value) for value in values])
    return None if _is_exact(field) else field.read


def _is_exact(field: Reader) -> bool:
    return "exact" in vars(type(field))


def _problems(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            inner = f"{path}[{key}]" if isinstance(key, int) else path if key == "_schema" else f"{path}.{key}"
            yield from _problems(below, inner)
    else:
        for message in messages:
            yield path, message
