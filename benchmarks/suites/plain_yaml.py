"""Reads YAML strictly: plain values only, no duplicate keys, no tags, no cycles, and a limit on the size."""

import re
from typing import Any

import yaml

DEEPEST = 40
MOST_VALUES = 1_000_000


class NotPlain(ValueError):
    """A text is not YAML of plain values; the message says where and why."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses duplicate keys, and reads `1e-3` as a number and the key `on` as text, which YAML 1.1 does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a duplicate key; YAML would silently use the last."""
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(problem=f"key `{key.value}` twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_plain(content: bytes) -> Any:  # noqa: ANN401 - YAML of any kind
    """Reads mappings, lists, text, numbers, true, false and null.

    Raises:
        NotPlain: if there is anything else.
    """
    try:
        value = yaml.load(content.decode("utf-8"), Loader=_StrictLoader)  # a SafeLoader
    except RecursionError as error:
        raise NotPlain("its values are nested too deeply") from error
    except Exception as error:  # PyYAML can raise almost anything for a tag with a wrong value
        raise NotPlain(" ".join(str(error).split())) from error
    _require_plain(value)
    return value


def _require_plain(value: object) -> None:
    """Checks and counts all values; an alias counts each time."""
    left: list[tuple[object, tuple[object, ...]]] = [(value, ())]
    count = 0
    while left:
        each, where = left.pop()
        count += 1
        if count > MOST_VALUES or len(where) > DEEPEST:
            raise NotPlain(f"`{_dotted(where[:5])}` contains itself or is too large")
        if isinstance(each, dict):
            left += [(inner, (*where, key)) for key, inner in each.items()]
            strange = [key for key in each if not isinstance(key, str)]
            if strange:
                raise NotPlain(f"`{_dotted((*where, strange[0]))}` is a key that is not text")
        elif isinstance(each, list):
            left += [(inner, (*where, index)) for index, inner in enumerate(each)]
        elif each is not None and type(each) not in (str, int, float, bool):
            raise NotPlain(f"`{_dotted(where)}` is a {type(each).__name__}, not a plain value")


def _dotted(where: tuple[object, ...]) -> str:
    return ".".join(map(str, where))
