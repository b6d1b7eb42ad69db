"""Specs, classes and documents: one meaning, one byte string."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InvalidInput
from market.specs import MAX_SIZE, Json, Spec, canonical_document, class_id, class_name, parse_spec

sizes = st.integers(0, MAX_SIZE)
specs = st.builds(Spec, sizes, sizes, sizes, sizes, sizes)


@given(specs, specs)
def test_a_spec_covers_what_is_no_larger_in_any_field(one: Spec, other: Spec) -> None:
    larger = Spec(
        max(one.cores, other.cores),
        max(one.memory_mib, other.memory_mib),
        max(one.disk_gib, other.disk_gib),
        max(one.gpus, other.gpus),
        max(one.network_mbps, other.network_mbps),
    )
    assert one.covers(one)
    assert larger.covers(one)
    assert larger.covers(other)
    assert one.covers(larger) == (one == larger)


@given(specs)
def test_a_spec_reads_back_from_its_text(spec: Spec) -> None:
    assert parse_spec(str(spec)) == spec


def test_units_are_those_of_the_fields() -> None:
    assert parse_spec("cores=64,memory=1024GiB,disk=480GiB,gpus=8,network=25000") == Spec(
        64, 1048576, 480, 8, 25000
    )
    assert parse_spec("memory=512, disk=2TiB, network=25Gbps") == Spec(0, 512, 2048, 0, 25000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cores",
        "cores=",
        "cores=x",
        "cores=-1",
        "cores=1.5",
        "memory=1GB",
        "disk=512MiB",
        "ram=1",
        "cores=1,cores=2",
        "cores=2GiB",
        "cores=4294967296",
        "cores=" + "9" * 5000,
    ],
)
def test_what_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_spec(text)


@pytest.mark.parametrize("name", ["baremetal", "gpu.a100-8x", "ü" * 15, "x" * 31])
def test_a_class_reads_back_from_its_id(name: str) -> None:
    raw = class_id(name)
    assert len(raw) == 32
    assert class_name(raw) == name


@pytest.mark.parametrize("name", ["", "x" * 32, "ü" * 16, " a", "a\0b", "a\n", "\ud800"])
def test_what_is_no_class_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        class_id(name)


@pytest.mark.parametrize(
    "raw", [b"", bytes(32), b"a", b"a\0b".ljust(32, b"\0"), b"\xff".ljust(32, b"\0"), b"a".ljust(33, b"\0")]
)
def test_what_is_no_class_id_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        class_name(raw)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(texts, values, max_size=5)


@given(documents)
def test_a_document_has_one_byte_string_and_reads_back(document: dict[str, Json]) -> None:
    raw = canonical_document(document)
    assert json.loads(raw) == document
    assert canonical_document(json.loads(raw)) == raw
    assert canonical_document(dict(reversed(document.items()))) == raw


def test_the_bytes_are_those_of_rfc_8785() -> None:
    document: dict[str, Json] = {
        "\U0001f600": 1,
        "\ufb33": [True, None],
        "é": '\u20ac\n\x0f\x7f"\\/',
        "a": {},
    }
    assert canonical_document(document).decode() == (
        '{"a":{},"é":"€\\n\\u000f\x7f\\"\\\\/","\U0001f600":1,"\ufb33":[true,null]}'
    )


@pytest.mark.parametrize(
    "value",
    [1.0, float("nan"), 2**53, -(2**53), b"x", {1: 2}, {"a": {None: 1}}, [0.5], {"a"}, "\ud800", object()],
)
def test_what_two_languages_would_print_differently_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        canonical_document({"key": value})  # type: ignore[dict-item]


def test_a_document_that_is_no_object_or_holds_itself_is_refused() -> None:
    loop: dict[str, Json] = {}
    loop["self"] = loop
    with pytest.raises(InvalidInput):
        canonical_document(loop)
    with pytest.raises(InvalidInput):
        canonical_document([])  # type: ignore[arg-type]


def test_the_error_says_where_in_the_document() -> None:
    with pytest.raises(InvalidInput, match=r"document\.disks\[1\]\.size"):
        canonical_document({"disks": [{"size": 1}, {"size": 2.5}]})  # type: ignore[dict-item]
