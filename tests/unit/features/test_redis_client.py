"""Addresses in LEADS_REDIS_URL: both forms, and errors that don't quote what may be a password."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from features.declared.builtin import BUILTIN, LAYOUTS
from features.online.codec import Wanted, row_of
from features.online.stores import open_online_store
from features.partition import WHOLE
from features.redis_client import OPTIONS, feast_address, redis_options
from features.state.fence import new_owner
from features.state_stores import clear_states, open_state
from leads.errors import ConfigurationError, Unavailable
from leads.settings import Settings, load_settings
from serving import supervisor

SECRET = "sekrit"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://h", {"host": "h", "port": 6379}),
        ("redis://h:1/", {"host": "h", "port": 1}),
        (" redis://:sekrit@h:6390/0\n", {"host": "h", "port": 6390, "db": 0, "password": SECRET}),
        ("redis://u:p%40%2C%2f@h:1/2", {"host": "h", "port": 1, "db": 2, "username": "u", "password": "p@,/"}),
        ("redis://[::1]:7", {"host": "::1", "port": 7}),
        ("rediss://h?ssl_cert_reqs=none", {"host": "h", "port": 6379, "ssl": True, "ssl_cert_reqs": "none"}),
        ("h", {"host": "h", "port": 6379}),
        ("[::1]:7,db=1", {"host": "::1", "port": 7, "db": 1}),
        ("h:1,i:2,db=1", {"host": "h", "port": 1, "db": 1}),
        ("h:1,password=12,socket_timeout=3", {"host": "h", "port": 1, "password": "12", "socket_timeout": 3}),
        ("unix_socket_path=/run/r", {"host": "localhost", "port": 6379, "unix_socket_path": "/run/r"}),
        ("h:1,password=a://b", {"host": "h", "port": 1, "password": "a://b"}),
    ],
)  # fmt: skip
def test_both_forms_of_an_address_are_read(address: str, expected: dict[str, Any]) -> None:
    options = redis_options(address)
    assert options == expected
    assert redis_options(feast_address(options)) == expected


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("localhost:sekrit", "The port isn't a number"),
        ("localhost:0", "The port isn't a number"),
        ("localhost:65536", "The port isn't a number"),
        ("localhost:1,pasword=sekrit", "did you mean password"),
        ("localhost:1,password=a,sekrit=b", "An option is unknown"),
        ("localhost:1,password=a,sekrit", "the password contains a comma"),
        ("localhost:1,db=sekrit", "The option db must be a whole number"),
        ("localhost:1,ssl=sekrit", "The option ssl must be true or false"),
        ("localhost:1,socket_timeout=sekrit", "The option socket_timeout must be a number"),
        ("localhost:1,retry=sekrit", "An option is unknown"),
        ("redis://:sekrit@localhost:abc", "the port of the URL is invalid"),
        ("redis://:sekrit@localhost:70000/0", "the port of the URL is invalid"),
        ("redis://:sekrit@localhost:0", "The port isn't a number"),
        ("redis://:sekrit/x@localhost", "The host or the port of the URL is invalid"),
        ("redis://:sek#rit@localhost", "The host or the port of the URL is invalid|After the host"),
        ("redis://:sekrit@[::1", "The host or the port of the URL is invalid"),
        ("redis://:sekrit@/0", "no host"),
        ("redis://:sekrit@localhost/name", "the number of a database"),
        ("http://:sekrit@localhost/0", "redis://"),
        ("redis://localhost?pasword=sekrit", "did you mean password"),
    ],
)
def test_an_invalid_address_is_refused_when_a_process_starts(address: str, says: str, tmp_path: Path) -> None:
    online = load_settings(home=tmp_path, corpora="", online_store="redis", redis_url=address)
    state = load_settings(home=tmp_path, corpora="", state_store="redis", redis_url=address)
    for start in (
        lambda: open_online_store(online),
        lambda: open_state(state, WHOLE, BUILTIN, owner=new_owner()),
        lambda: clear_states(state),
        lambda: supervisor.serve(online),
        lambda: supervisor.serve(state),
    ):
        with pytest.raises(ConfigurationError, match=says) as refused:
            start()
        error: BaseException | None = refused.value
        assert refused.value.field == "LEADS_REDIS_URL"
        assert "rediss://" in (refused.value.remedy or "")
        while error is not None:
            assert "sek" not in str(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_every_option_is_one_of_the_client() -> None:
    import redis

    assert OPTIONS.keys() <= inspect.signature(redis.Redis.__init__).parameters.keys()


@pytest.fixture
def protected(redis_address: str) -> Iterator[str]:
    """The address of a Redis that needs a password, without it, as a query."""
    import redis

    with redis.Redis(**redis_options(redis_address)) as server:
        server.config_set("requirepass", SECRET)
        # This user may read nothing.
        server.execute_command("ACL", "SETUSER", "weak", "on", f">{SECRET}", "+ping", "+client")
        yield redis_options(redis_address)["unix_socket_path"]
        server.config_set("requirepass", "")


def settings_for(home: Path, address: str, **more: Any) -> Settings:
    return load_settings(home=home, corpora="", redis_url=address, **more)


def test_a_url_with_a_password_reaches_the_server(protected: str, tmp_path: Path) -> None:
    for address in (
        f"redis://:{SECRET}@localhost/3?unix_socket_path={protected}",
        f"localhost,password={SECRET},db=3,unix_socket_path={protected}",
    ):
        state = open_state(settings_for(tmp_path, address, state_store="redis"), WHOLE, BUILTIN, owner=new_owner())
        state.commit(1, {"item": {"a": b"1"}})
        state.close()
        reader = open_online_store(settings_for(tmp_path, address, online_store="redis"))
        assert reader.get([row_of(LAYOUTS[0], ["none"])])
        reader.close()


@pytest.mark.parametrize(
    ("user", "says"),
    [("", "refused the user name"), (":wrong@", "refused the user name"), ("weak:sekrit@", "ACL LIST")],
)
def test_a_refused_password_is_named(user: str, says: str, protected: str, tmp_path: Path) -> None:
    address = f"redis://{user}localhost/3?unix_socket_path={protected}"
    state = settings_for(tmp_path, address, state_store="redis")
    reader = open_online_store(settings_for(tmp_path, address, online_store="redis"))
    for use in (
        lambda: open_state(state, WHOLE, BUILTIN, owner=new_owner()),
        lambda: clear_states(state),
        lambda: reader.get([row_of(LAYOUTS[0], ["none"])]),
        lambda: reader.get([row_of(LAYOUTS[0], ["none"]), Wanted(LAYOUTS[0], ["none"], ("a", "b"))]),
    ):
        with pytest.raises(Unavailable, match=says) as refused:
            use()
        assert refused.value.field == "LEADS_REDIS_URL"
    reader.close()
