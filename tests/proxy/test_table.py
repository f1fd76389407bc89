from __future__ import annotations

from typing import Any

import pytest

from tests.proxy.rig import plain_table, row
from tqsd.proxy.table import BadTable, Table

GOOD = plain_table()


@pytest.mark.parametrize(
    "plain",
    [
        None,
        [],
        {},
        {**GOOD, "format": 2},
        {**GOOD, "version": "x"},
        {**GOOD, "server": {}},
        {**GOOD, "server": {**GOOD["server"], "trusted_proxies": ["no network"]}},
        {**GOOD, "routes": [{}]},
        {**GOOD, "routes": ["x"]},
        {**GOOD, "routes": [row(targets=[{"port": 1}])]},
    ],
)
def test_what_is_no_table_is_refused(plain: Any) -> None:
    with pytest.raises(BadTable):
        Table.from_plain(plain)


def test_a_row_names_the_directory_of_a_page_of_files_if_it_is_one() -> None:
    plain = plain_table(row(files="/srv/\udcff ä"), row("old", "/old"))
    del plain["routes"][1]["files"]
    first, second = Table.from_plain(plain).rows
    assert (first.files, second.files) == (b"/srv/\xff \xc3\xa4", b"")


def test_only_targets_may_differ_for_routes_to_be_alike() -> None:
    first = Table.from_plain(GOOD)
    assert Table.from_plain(plain_table(row(ports=(5,), state="broken"), version=2)).routes_like(first)
    assert Table.from_plain(plain_table(row(ports=(), files="/srv/tree"), version=2)).routes_like(first)
    assert not Table.from_plain(plain_table(row(methods=["GET"]))).routes_like(first)
    assert not Table.from_plain(plain_table(head_timeout=1)).routes_like(first)
    assert not Table.from_plain({**GOOD, "not_found": "<p>"}).routes_like(first)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("192.0.2.7", True),
        ("fd00::5", True),
        ("fe80::1%lo", False),
    ],
)
def test_loopback_and_named_proxies_are_trusted(address: str, trusted: bool) -> None:
    table = Table.from_plain(plain_table(trusted_proxies=["10.1.0.0/16", "192.0.2.7", "fd00::/8"]))
    assert table.settings.trusts(address) is trusted
