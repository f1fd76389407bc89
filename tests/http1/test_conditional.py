from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tqsd.http1.conditional import FIELDS, Conditions
from tqsd.http1.date import write_date

NOW = 1_700_000_000
ETAG = b'"v1"'


def status(**fields: bytes) -> int:
    return Conditions({name.replace("_", "-").encode(): value for name, value in fields.items()}).status(ETAG, NOW)


@pytest.mark.parametrize("value", [ETAG, b"*", b'"a", "v1"', b'"a" , , "v1",', b'"x,y", "v1"'])
def test_a_tag_that_is_named_matches(value: bytes) -> None:
    assert status(if_match=value) == 200
    assert status(if_none_match=value) == 304


@pytest.mark.parametrize("value", [b'"v2"', b'"V1"', b"", b"v1", b'"a, v1', b'"v1" "v1"', b'w/"v1"', b'*, "v1"'])
def test_any_other_tag_and_what_is_none_do_not(value: bytes) -> None:
    assert status(if_match=value) == 412
    assert status(if_none_match=value) == 200


def test_a_weak_tag_matches_only_where_nothing_is_at_stake() -> None:
    assert status(if_none_match=b'W/"v1"') == 304
    assert status(if_match=b'W/"v1"') == 412


@pytest.mark.parametrize(
    ("seconds", "since", "not_since"), [(-1, 200, 412), (0, 304, 200), (1, 304, 200), (10**8, 304, 200)]
)
def test_dates_are_compared_with_the_files(seconds: int, since: int, not_since: int) -> None:
    date = write_date(NOW + seconds)
    assert status(if_modified_since=date) == since
    assert status(if_unmodified_since=date) == not_since


def test_what_is_no_date_is_no_condition() -> None:
    assert status(if_modified_since=b"yesterday") == 200
    assert status(if_unmodified_since=b"yesterday") == 200


def test_tags_go_before_dates() -> None:
    old, new = write_date(NOW - 9), write_date(NOW + 9)
    assert status(if_none_match=b'"v2"', if_modified_since=new) == 200
    assert status(if_none_match=ETAG, if_modified_since=old) == 304
    assert status(if_match=ETAG, if_unmodified_since=old) == 200
    assert status(if_match=b'"v2"', if_unmodified_since=new) == 412


def test_what_must_be_goes_before_what_need_not_be_sent() -> None:
    assert status(if_match=b'"v2"', if_none_match=ETAG) == 412
    assert status(if_match=ETAG, if_none_match=ETAG) == 304
    assert status(if_unmodified_since=write_date(NOW - 9), if_none_match=ETAG) == 412


def test_a_part_is_of_the_very_version_the_client_has() -> None:
    def allowed(value: bytes) -> bool:
        return Conditions({b"if-range": value}).allow_range(ETAG, NOW)

    assert Conditions({}).allow_range(ETAG, NOW)
    assert allowed(ETAG)
    assert allowed(write_date(NOW))
    assert not allowed(b'W/"v1"')
    assert not allowed(b'"v2"')
    assert not allowed(b'"v1", "v2"')
    assert not allowed(b"*")
    assert not allowed(write_date(NOW + 1))
    assert not allowed(write_date(NOW - 1))


@given(st.dictionaries(st.sampled_from(FIELDS), st.binary(max_size=30)))
def test_no_bytes_are_too_strange(fields: dict[bytes, bytes]) -> None:
    conditions = Conditions(fields)
    assert conditions.status(ETAG, NOW) in (200, 304, 412)
    assert conditions.allow_range(ETAG, NOW) in (True, False)


tags = st.builds(
    lambda weak, text: weak + b'"%b"' % text, st.sampled_from([b"", b"W/"]), st.sampled_from([b"v1", b"x", b""])
)


@given(st.lists(tags, min_size=1, max_size=5), st.sampled_from([b",", b", ", b" ,\t"]))
def test_lists_of_tags_match_as_their_members_do(listed: list[bytes], comma: bytes) -> None:
    value = comma.join(listed)
    assert (status(if_match=value) == 200) is (ETAG in listed)
    assert (status(if_none_match=value) == 304) is (ETAG in listed or b"W/" + ETAG in listed)
