"""BER and DER by hand: a tree of tags, to be changed in one place and written again, rightly or wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Node:
    """A tag of one byte with children (constructed) or bytes. ``form``: how the length is written."""

    tag: int
    data: bytes = b""
    children: tuple[Node, ...] = ()
    form: str = "minimal"
    at: int = field(default=0, compare=False)
    body_at: int = field(default=0, compare=False)

    @property
    def constructed(self) -> bool:
        return bool(self.tag & 0x20)

    def encode(self) -> bytes:
        body = b"".join(child.encode() for child in self.children) if self.constructed else self.data
        if self.form == "indefinite":
            return bytes((self.tag, 0x80)) + body + b"\0\0"
        return bytes((self.tag,)) + _length(len(body), self.form) + body

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    def get(self, *path: int) -> Node:
        return self.children[path[0]].get(*path[1:]) if path else self

    def put(self, path: tuple[int, ...], change: Callable[[Node], Node | list[Node]]) -> Node:
        """The tree with the node at ``path`` changed, removed (empty list) or multiplied."""
        first, rest = path[0], path[1:]
        child = self.children[first]
        made = child.put(rest, change) if rest else change(child)
        middle = made if isinstance(made, list) else [made]
        return replace(self, children=(*self.children[:first], *middle, *self.children[first + 1 :]))


def _length(size: int, form: str) -> bytes:
    raw = size.to_bytes(max(1, (size.bit_length() + 7) // 8), "big")
    if form == "long":  # one byte more than needed
        return bytes((0x80 + len(raw) + (size >= 0x80),)) + (b"\0" if size >= 0x80 else b"") + raw
    return raw if size < 0x80 else bytes((0x80 + len(raw),)) + raw


def parse(data: bytes, at: int = 0) -> Node:
    """The one element that fills ``data``; lengths are trusted, this reads only what the builders made."""
    (node,) = _parse_all(data, at)
    return node


def _parse_all(data: bytes, at: int) -> list[Node]:
    nodes = []
    position = 0
    while position < len(data):
        tag, size, body = data[position], data[position + 1], position + 2
        if size & 0x80:
            count = size & 0x7F
            size, body = int.from_bytes(data[body : body + count], "big"), body + count
        content = data[body : body + size]
        children = tuple(_parse_all(content, at + body)) if tag & 0x20 else ()
        nodes.append(Node(tag, b"" if tag & 0x20 else content, children, at=at + position, body_at=at + body))
        position = body + size
    return nodes


def boundaries(data: bytes, most: int = 80) -> tuple[int, ...]:
    """Where elements and their contents begin, except 0; evenly thinned to ``most``."""
    places = sorted({place for node in parse(data).walk() for place in (node.at, node.body_at)} - {0, len(data)})
    step = max(1, -(-len(places) // most))
    return tuple(places[::step])


def seq(*children: Node) -> Node:
    return Node(0x30, children=children)


def set_of(*children: Node) -> Node:
    return Node(0x31, children=tuple(sorted(children, key=Node.encode)))


def octets(data: bytes) -> Node:
    return Node(0x04, data)


def integer(value: int) -> Node:
    return Node(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> Node:
    first, second, *rest = map(int, dotted.split("."))
    body = bytearray((40 * first + second,))
    for arc in rest:
        group = [arc & 0x7F]
        while arc := arc >> 7:
            group.append(0x80 | arc & 0x7F)
        body += bytes(reversed(group))
    return Node(0x06, bytes(body))


NULL = Node(0x05)
