"""Fields that decide in one function, and schemas that read in one pass.

marshmallow's own ``load`` is exact but takes most of the time of a request. Here each field has one
function, :meth:`Reader.read`, that both ways use: :meth:`WireSchema.one_pass` walks the fields once and
gives up at the first error; only then does marshmallow's ``load`` collect every error with its path.
A property test checks that the two agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, missing, post_load

from levelup_ov.domain.failure import Failure

Read = Callable[[Any], Any]


class Reader(fields.Field[Any]):
    """A field that decides in :meth:`read` alone; ``documented`` describes it for OpenAPI."""

    documented: Mapping[str, Any] = {}

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

    def one_pass(self, data: Any) -> Any:
        """What ``load`` returns for valid data.

        :raises ValueError: the data is not valid; ``load`` says why.
        :raises ValidationError: the same.
        """
        if type(data) is not dict:
            raise ValueError
        values: dict[str, Any] = {}
        for name, read, nullable, default in self._plan:
            value = data.get(name, missing)
            if value is None and nullable:
                values[name] = None
            elif value is not missing:
                values[name] = read(value)
            elif default is missing:
                raise ValueError
            else:
                values[name] = default
        return self.build(values)

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Use the same message for every member."""
        field_obj.error_messages |= {"required": "is missing", "null": "may not be null"}
        if isinstance(field_obj, fields.List):
            field_obj.error_messages["invalid"] = "expected a list"
        if isinstance(field_obj, fields.Nested):
            field_obj.error_messages["type"] = "expected an object"

    @cached_property
    def _plan(self) -> list[tuple[str, Read, bool, Any]]:
        return [
            (name, _reader(field), field.allow_none, missing if field.required else field.load_default)
            for name, field in self.load_fields.items()
        ]


class WrapperSchema(WireSchema):
    """A wrapper around one required object; reading it returns that object."""

    def build(self, values: dict[str, Any]) -> Any:
        return next(iter(values.values()))

    def one_pass(self, data: Any) -> Any:
        if type(data) is not dict:
            raise ValueError
        name, read, _, _ = self._plan[0]
        return read(data.get(name, missing))


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
    data = body[root]
    try:
        return schema.one_pass(data)
    except (ValueError, ValidationError):
        pass
    try:
        return schema.load(data)
    except ValidationError as error:
        problems = list(_problems(error.messages, f"$.{root}"))
        shown = "; ".join(f"{path}: {message}" for path, message in problems[:10])
        if len(problems) > 10:
            shown += f"; and {len(problems) - 10} more"
        raise Failure("invalid_member", shown, path=problems[0][0]) from None


def _reader(field: fields.Field[Any]) -> Read:
    if isinstance(field, Reader):
        return field.read
    if isinstance(field, fields.List):
        read_element = _reader(field.inner)

        def read_list(value: Any) -> list[Any]:
            if type(value) is not list:
                raise ValueError
            for check in field.validators:
                check(value)
            return [read_element(element) for element in value]

        return read_list
    if isinstance(field, fields.Nested) and isinstance(field.schema, WireSchema):
        return field.schema.one_pass
    raise TypeError(f"{type(field).__name__} cannot be read in one pass")


def _problems(messages: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            inner = f"{path}[{key}]" if isinstance(key, int) else path if key == "_schema" else f"{path}.{key}"
            yield from _problems(below, inner)
    else:
        for message in messages:
            yield path, message
