"""Where a tenant's database goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hoa_operator.errors import OperatorError, UserError
from hoa_operator.servers import DatabaseServer, PlacementRequest, choose, isolated, parse_server
from tests.unit.operator.samples import server, server_body

NOWHERE = PlacementRequest(None, None, None)


def chosen(request: PlacementRequest, *servers: DatabaseServer, **load: int) -> str:
    return choose(request, servers, load).name


def refusal(request: PlacementRequest, *servers: DatabaseServer, **load: int) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        choose(request, servers, load)
    return caught.value


def test_the_emptiest_is_chosen_and_the_name_breaks_ties() -> None:
    assert chosen(NOWHERE, server("b"), server("a")) == "a"
    assert chosen(NOWHERE, server("a"), server("b"), a=2, b=1) == "b"


def test_one_that_does_not_answer_comes_last() -> None:
    down = {"conditions": [{"type": "Ready", "status": "False", "message": "away"}]}
    body = {**server_body("a"), "status": down}
    assert chosen(NOWHERE, parse_server(body), server("b"), b=9) == "b"


def test_a_place_once_given_is_kept_while_its_server_answers() -> None:
    given = PlacementRequest(None, None, None, given="b")
    assert chosen(given, server("a"), server("b"), b=9) == "b"
    down = parse_server({**server_body("b"), "status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    assert chosen(given, server("a"), down) == "a"


def test_unschedulable_and_full_servers_take_nobody_new() -> None:
    closed = server("a", scheduling="Unschedulable")
    full = server("b", capacity={"maxTenants": 1})
    assert chosen(NOWHERE, closed, full, server("c"), b=1, c=400) == "c"
    assert isinstance(refusal(NOWHERE, closed), UserError)
    error = refusal(NOWHERE, full, b=1)
    assert isinstance(error, UserError)
    assert error.reason == "DatabaseServerFull"
    assert "raise spec.capacity.maxTenants" in error.message


def test_the_region_holds() -> None:
    east, west = server("east", region="us-east-1"), server("west", region="us-west-2")
    assert chosen(PlacementRequest(None, None, "us-west-2"), east, west) == "west"
    assert refusal(PlacementRequest(None, None, "eu"), east, west).reason == "NoDatabaseServer"
    assert refusal(PlacementRequest(None, "east", "us-west-2"), east, west).reason == "RegionMismatch"


def test_a_named_server_is_taken_also_when_unschedulable() -> None:
    assert chosen(PlacementRequest(None, "a", None), server("a", scheduling="Unschedulable"), server("b")) == "a"


def test_data_that_lies_somewhere_stays_there() -> None:
    assert chosen(PlacementRequest("a", None, None), server("a", capacity={"maxTenants": 0}), server("b"), a=5) == "a"
    gone = refusal(PlacementRequest("gone", None, None), server("a"))
    assert gone.reason == "DatabaseServerMissing"
    assert "there are: a" in gone.message


def test_data_is_taken_over_where_it_lies_or_not_at_all() -> None:
    two = (server("a"), server("b"))
    taking = PlacementRequest("a", "b", None, takes_over=True)
    error = refusal(taking, *two)
    assert isinstance(error, UserError)
    assert error.reason == "DatabaseServerDiffers"
    assert "lies on HOADatabaseServer 'a', but spec.database.serverName is 'b'" in error.message
    assert "and apply it again with serverName a, or without one" in error.message
    assert chosen(replace(taking, wanted=None), *two) == "a"
    assert chosen(replace(taking, wanted="a"), *two) == "a"


def test_data_is_not_taken_over_from_another_region() -> None:
    here, there, nowhere = server("here", region="eu"), server("there", region="us"), server("nowhere")
    taking = PlacementRequest("there", None, "eu", takes_over=True)
    error = refusal(taking, here, there)
    assert isinstance(error, UserError)
    assert error.reason == "RegionMismatch"
    assert "'there', which holds the data to be taken over, lies in region us, but spec.region is eu" in error.message
    assert "apply it again with spec.region us, or without one" in error.message
    unplaced = refusal(replace(taking, held="nowhere"), here, nowhere)
    assert (unplaced.reason, "lies in no region" in unplaced.message) == ("RegionMismatch", True)
    assert chosen(replace(taking, held="here"), here, there) == "here"
    assert chosen(replace(taking, region=None), here, there) == "there"
    assert chosen(replace(taking, takes_over=False), here, there) == "there", "what it has already is not left behind"


def test_what_a_tenant_has_already_stays_whatever_its_spec_came_to_say() -> None:
    assert chosen(PlacementRequest("a", "b", None), server("a"), server("b")) == "a"


def test_a_server_is_read_whole() -> None:
    read = parse_server(server_body(capacity={"maxTenants": 7, "maxConnections": 100}))
    assert (read.host, read.port, read.sslmode, read.max_tenants, read.max_connections) == (
        "postgres",
        5432,
        "require",
        7,
        100,
    )
    assert (read.ready, read.schedulable, read.template_revision) == (None, True, None)


def test_a_server_whose_databases_are_shut_is_isolated() -> None:
    assert isolated((), "hoa_admin") == ("True", "Locked", "no database lets everyone in")


def test_databases_that_let_everyone_in_are_told_with_what_to_run() -> None:
    status, reason, message = isolated(("template1", "postgres"), "hoa_admin")
    assert (status, reason) == ("False", "OpenToPublic")
    assert 'gets into "postgres", "template1"' in message
    assert (
        'GRANT CONNECT ON DATABASE "postgres", "template1" TO "hoa_admin"; REVOKE CONNECT, TEMPORARY ON DATABASE'
        in message
    )
