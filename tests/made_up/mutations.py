"""Files of JSON as accidents and strangers leave them: damaged or edited in many ways, the same ones by the same seed."""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mutation:
    """One file in place of another.

    Attributes:
        name: what was done, and where.
        data: the bytes of the file.
        neutral: it says the same as before, in another order of keys, with other spaces or in another encoding of Unicode,
            which a reader may take or refuse.
    """

    name: str
    data: bytes
    neutral: bool = False


Place = tuple[Any, ...]  # keys and indices from the root
Members = list[tuple[str, Any]]


class Pairs:
    """An object whose keys may repeat."""

    def __init__(self, members: Members) -> None:
        self.members = members


class Raw:
    """A value that is written as it is, JSON or not."""

    def __init__(self, text: str) -> None:
        self.text = text


OTHER_VALUES = (
    *(None, True, False, 0, 1, -1, 7, 0.5, -0.0, 10**12, -(10**12), 10**400),
    *("", "x", "0", "../../x", "/etc/passwd", "a" * 100_000, "\u0000", "é\u202e", "=1+1", [], {}, [[]], [None], {"a": {"b": []}}),
    *(Raw(text) for text in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"\\ud800"', "01", "+1", "0x1", "1_0", "'x'")),
    *(Raw("[" * 3000 + "]" * 3000), Raw('{"a":' * 3000 + "1" + "}" * 3000), Raw("1" * 5000), Raw("nul"), Raw("undefined")),
)  # fmt: skip


def mutations(data: bytes, n: int, seed: int = 0) -> Iterator[Mutation]:
    """Yield n mutations of a JSON file whose root is an object, every kind as often; those that change nothing are left out.

    Args:
        data: the file.
        n: how many.
        seed: of the choice.
    """
    rng, document = random.Random(seed), json.loads(data)
    kinds = [*((kind, True) for kind in OF_VALUES), *((kind, False) for kind in OF_BYTES)]
    found = 0
    while found < n:
        for kind, of_values in kinds:
            made = kind(document if of_values else data, rng)
            if made is None or (not made.neutral and said(made.data) == said(data)):
                continue
            found += 1
            yield made
            if found == n:
                return


def said(data: bytes) -> str | None:
    """Return what a file says, whatever the order of keys, with those that repeat; None where it is no JSON."""
    pairs = lambda members: ("object", *sorted(members, key=lambda pair: pair[0]))  # noqa: E731
    try:
        return repr(json.loads(data, object_pairs_hook=pairs))
    except (ValueError, RecursionError):
        return None


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Yield where every value below the root is."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in members:
        yield (*here, key)
        yield from places(each, (*here, key))


def at(document: Any, place: Place) -> Any:
    for key in place:
        document = document[key]
    return document


def written(value: Any, indent: int | None = 1) -> str:
    """Return JSON, or what is nearly so, of values that may hold ``Pairs`` and ``Raw``."""
    if isinstance(value, Raw):
        return value.text
    space = "\n" if indent else ""
    if isinstance(value, Pairs | dict):
        members = value.members if isinstance(value, Pairs) else list(value.items())
        return (
            "{"
            + space
            + f",{space}".join(f"{json.dumps(key)}: {written(each, indent)}" for key, each in members)
            + space
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(written(each, indent) for each in value) + "]"
    return json.dumps(value)


def _made(name: str, document: Any, *, neutral: bool = False) -> Mutation:
    return Mutation(name, written(document).encode("utf-8", "surrogatepass"), neutral)


def _with(document: Any, place: Place, change: Callable[[Any, Any], None]) -> Any:
    """Return a copy in which ``change(parent, key)`` was done at a place."""
    copy = deepcopy(document)
    change(at(copy, place[:-1]), place[-1])
    return copy


def _put(value: Any) -> Callable[[Any, Any], None]:
    return lambda parent, key: parent.__setitem__(key, value)


def _replaced(document: Any, place: Place, value: Any) -> Any:
    """Return a copy with another object at a place, which may be the root."""
    return value if not place else _with(document, place, _put(value))


def _objects(document: Any) -> list[Place]:
    return [place for place in [(), *places(document)] if isinstance(at(document, place), dict)]


def _deleted(document: Any, rng: random.Random) -> Mutation:
    place = rng.choice(list(places(document)))
    return _made(f"without {place}", _with(document, place, lambda parent, key: parent.__delitem__(key)))


def _renamed(document: Any, rng: random.Random) -> Mutation | None:
    place = rng.choice(_objects(document))
    members = list(at(document, place).items())
    if not members:
        return None
    i = rng.randrange(len(members))
    key = members[i][0]
    new = rng.choice([key + "s", key.upper(), f" {key}", key + "\u0000", "", "../" + key, "__class__", key[::-1] + "_"])
    members[i] = (new, members[i][1])
    return _made(f"{(*place, key)} called {new!r}", _replaced(document, place, Pairs(members)))


def _duplicated(document: Any, rng: random.Random) -> Mutation | None:
    place = rng.choice(_objects(document))
    members = list(at(document, place).items())
    if not members:
        return None
    key, value = rng.choice(members)
    again = rng.choice([value, None, 0, {}])
    members.insert(rng.randrange(len(members) + 1), (key, again))
    return _made(f"{(*place, key)} twice", _replaced(document, place, Pairs(members)))


def _added(document: Any, rng: random.Random) -> Mutation:
    place = rng.choice(_objects(document))
    value = rng.choice([None, 1, "x", {}, []])
    members = [*at(document, place).items(), (rng.choice(["newer", "shard", "a.b", "x" * 200]), value)]
    return _made(f"one more in {place}", _replaced(document, place, Pairs(members)))


def _another_value(document: Any, rng: random.Random) -> Mutation:
    place, value = rng.choice(list(places(document))), rng.choice(OTHER_VALUES)
    shown = value.text if isinstance(value, Raw) else repr(value)
    return _made(f"{place} is {shown:.40}", _with(document, place, _put(value)))


def _nudged(document: Any, rng: random.Random) -> Mutation | None:
    """Change one number or string a little, so that its type is still right."""
    leaves = [place for place in places(document) if type(at(document, place)) in (int, float, str)]
    if not leaves:
        return None
    place = rng.choice(leaves)
    old = at(document, place)
    if isinstance(old, str):
        i = rng.randrange(len(old)) if old else 0
        new: Any = rng.choice(
            [old[:-1], old + "0", old[:i] + ("0" if old[i : i + 1] != "0" else "1") + old[i + 1 :], old.upper() + "X"]
        )
    else:
        new = rng.choice([old + 1, old - 1, -old - 1, old * 2 + 1, old * 1000 + 3, old + 0.25, str(old), bool(old)])
    return _made(f"{place} is {new!r:.40}", _with(document, place, _put(new)))


def _swapped(document: Any, rng: random.Random) -> Mutation | None:
    """Exchange two members of one object or list that differ."""
    several = [place for place in [(), *places(document)] if isinstance(at(document, place), dict | list)]
    parent = at(document, place := rng.choice([place for place in several if len(at(document, place)) > 1] or [()]))
    if len(parent) < 2:
        return None
    a, b = rng.sample(sorted(parent) if isinstance(parent, dict) else range(len(parent)), 2)
    if json.dumps(parent[a], sort_keys=True) == json.dumps(parent[b], sort_keys=True):
        return None
    copy = deepcopy(document)
    inside = at(copy, place)
    inside[a], inside[b] = inside[b], inside[a]
    return _made(f"{(*place, a)} and {(*place, b)} exchanged", copy)


def _longer_or_shorter(document: Any, rng: random.Random) -> Mutation | None:
    lists = [place for place in places(document) if isinstance(at(document, place), list) and at(document, place)]
    if not lists:
        return None
    place = rng.choice(lists)
    old = at(document, place)
    new = rng.choice([old[:-1], old[1:], [*old, old[-1]], [old[0], *old], old * 50, [old]])
    return _made(f"{place} is {new!r:.40}", _with(document, place, _put(new)))


def _reordered(document: Any, rng: random.Random) -> Mutation:
    """Keys in another order, other spaces: the same to any reader."""

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            keys = sorted(value)
            rng.shuffle(keys)
            return {key: other(value[key]) for key in keys}
        return [other(each) for each in value] if isinstance(value, list) else value

    return Mutation(
        "keys in another order", json.dumps(other(document), indent=rng.choice([None, 2, 7])).encode(), neutral=True
    )


OF_VALUES = (_deleted, _renamed, _duplicated, _added, _another_value, _nudged, _another_value, _nudged, _swapped, _longer_or_shorter, _reordered)  # fmt: skip


def _cut(data: bytes, rng: random.Random) -> Mutation:
    n = rng.randrange(len(data.rstrip()))
    return Mutation(f"the first {n} bytes", data[:n])


def _byte(data: bytes, rng: random.Random) -> Mutation:
    """One byte that is no space is another one: 0xff is in no UTF-8."""
    i = rng.choice([i for i, byte in enumerate(data) if byte > 0x20])
    return Mutation(f"byte {i} is damaged", data[:i] + rng.choice([b"\xff", b"\x00", b"\xc3"]) + data[i + 1 :])


def _whole(data: bytes, rng: random.Random) -> Mutation:
    text = data.decode()
    name, made = rng.choice(
        [
            ("empty", b""),
            ("spaces", b" \n"),
            ("a byte order mark", b"\xef\xbb\xbf" + data),
            ("UTF-16", text.encode("utf-16")),
            ("UTF-32", text.encode("utf-32-le")),
            ("twice", data + data),
            ("a comma more", text.rstrip()[:-1].encode() + b",}"),
            ("a comment", b"// made by hand\n" + data),
            ("single quotes", text.replace('"', "'").encode()),
            ("in a list", b"[" + data + b"]"),
            ("as a string", json.dumps(text).encode()),
            *((text, text.encode()) for text in ("null", "3", "[]", "{}", '""', "true", "NaN")),
            ("deep", b"[" * 100_000),
            ("deep objects", b'{"request":' * 100_000),
            ("Parquet", b"PAR1" + bytes(range(256)) + b"PAR1"),
            ("zeros", bytes(len(data))),
        ]
    )
    return Mutation(f"the whole file: {name}", made, neutral=name in ("a byte order mark", "UTF-16", "UTF-32"))


OF_BYTES = (_cut, _byte, _whole)
