from __future__ import annotations

import pytest

from tests.proxy.rig import plain_table, row
from tqsd.http1.field import BadHead
from tqsd.http1.forward import Peer
from tqsd.proxy.balancer import Balancer
from tqsd.proxy.intake import Intake, Request, host_name
from tqsd.proxy.table import Table


def intake(*rows: dict[str, object]) -> Intake:
    table = Table.from_plain(plain_table(*rows))
    balancer = Balancer()
    balancer.apply(table)
    return Intake(balancer, table, b"id-")


def read(made: Intake, target: str, method: str = "GET", fields: str = "") -> Request:
    return made.read(f"{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode(), Peer.STRANGER)


def status(request: Request) -> int:
    return request.refusal.status if request.refusal else 200


def test_a_request_gets_the_pool_of_its_page() -> None:
    made = intake(row(), row("api", "/api", ports=(5,)))
    for _ in range(2):
        request = read(made, "/api/x?y")
        assert request.pool
        assert request.pool.page == "api"
        assert request.refusal is None


def test_a_request_for_no_page_gets_its_refusal() -> None:
    made = intake(row("api", "/api", methods=["POST"], max_body=2))
    assert status(read(made, "/")) == 404
    assert status(read(made, "/api")) == 405
    assert status(read(made, "/api", "POST", "Content-Length: 3\r\n")) == 413
    assert status(read(made, "/api", "POST", "Content-Length: 2\r\n")) == 200
    assert status(read(made, "/%00")) == 400


def test_a_question_to_the_whole_server_goes_to_the_index_page() -> None:
    assert read(intake(row()), "*", "OPTIONS").forward.startswith(b"OPTIONS * HTTP/1.1\r\n")
    assert status(read(intake(row("api", "/api")), "*", "OPTIONS")) == 404


def test_a_target_may_not_be_longer_than_the_settings_say() -> None:
    with pytest.raises(BadHead) as caught:
        read(intake(), "/" + "a" * 8192)
    assert caught.value.status == 414


@pytest.mark.parametrize(
    ("host", "name"),
    [(b"Example.COM", b"example.com"), (b"a.:80", b"a"), (b"[::1]:80", b"[::1]"), (b"[::1]", b"[::1]"), (b"", b"")],
)
def test_a_host_is_compared_without_case_port_and_final_dot(host: bytes, name: bytes) -> None:
    assert host_name(host) == name
