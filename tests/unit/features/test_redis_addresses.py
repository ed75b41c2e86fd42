"""Addresses in LEADS_REDIS_URL: every form, any password, and errors that don't quote what may be one."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.declared.builtin import BUILTIN, LAYOUTS
from features.online.codec import Wanted, row_of
from features.online.stores import open_online_store
from features.partition import WHOLE
from features.redis.address import OPTIONS, feast_address, parse_address, redis_options
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
        ("redis://[fe80::1%25eth0]/", {"host": "fe80::1%eth0", "port": 6379}),
        ("redis://user@h", {"host": "h", "port": 6379, "username": "user"}),
        ("redis://:1e5@h", {"host": "h", "port": 6379, "password": "1e5"}),
        ("redis://:true@h?db=3", {"host": "h", "port": 6379, "password": "true", "db": 3}),
        ("redis://:a,b=c@h", {"host": "h", "port": 6379, "password": "a,b=c"}),
        ("redis://h?password=null", {"host": "h", "port": 6379, "password": "null"}),
        ("unix:///run/r%20s?db=2", {"host": "localhost", "port": 6379, "unix_socket_path": "/run/r s", "db": 2}),
        ("unix://:p@/run/r", {"host": "localhost", "port": 6379, "unix_socket_path": "/run/r", "password": "p"}),
        ("h:1,password=a,b=c", {"host": "h", "port": 1, "password": "a,b=c"}),
        ("h:1,password=a,b,db=2", {"host": "h", "port": 1, "password": "a,b", "db": 2}),
        ('h:1,password="a,db=2",db=1', {"host": "h", "port": 1, "password": "a,db=2", "db": 1}),
        ("h:1,password=1e5,username=true", {"host": "h", "port": 1, "password": "1e5", "username": "true"}),
        ("h:1,i:2,db=1", {"host": "h", "port": 1, "db": 1}),
        ("h:1,password=12,socket_timeout=3", {"host": "h", "port": 1, "password": "12", "socket_timeout": 3}),
        ("unix_socket_path=/run/r", {"host": "localhost", "port": 6379, "unix_socket_path": "/run/r"}),
        ("h:1,password=a://b", {"host": "h", "port": 1, "password": "a://b"}),
    ],
)  # fmt: skip
def test_both_forms_of_an_address_are_read(address: str, expected: dict[str, Any]) -> None:
    assert redis_options(address) == expected
    assert redis_options(feast_address(parse_address(address))) == expected


PASSWORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(PASSWORDS)
def test_any_password_is_read_from_a_url(password: str) -> None:
    for address in (
        f"redis://:{quote(password, safe='')}@h/1",
        f"redis://h/1?password={quote(password, safe='')}",
        f"redis+sentinel://:{quote(password, safe='')}@[::1]:7,i/main/1?sentinel_password={quote(password, safe='')}",
    ):
        parsed = parse_address(address)
        assert parsed.options == {"password": password, "db": 1}
        assert parsed.sentinel == ({"password": password} if parsed.master else {})
        assert redis_options(feast_address(parsed))["password"] == password


@given(PASSWORDS)
def test_any_password_is_read_from_feasts_format(password: str) -> None:
    assert redis_options(f"h:1,password={json.dumps(password)},db=1")["password"] == password
    # Without quotation marks, if nothing in it looks like another option or is a number in quotation marks.
    plain = redis_options(f"h:1,db=1,password=x{password}x")["password"]
    assert plain == f"x{password}x" or any(f",{name}=" in password for name in OPTIONS)


def test_sentinels_and_their_master_are_read() -> None:
    parsed = parse_address("rediss+sentinel://u:p@a,[::1]:7/main/3?sentinel_username=w&ssl_cert_reqs=none")
    assert (parsed.nodes, parsed.master) == ((("a", 26379), ("::1", 7)), "main")
    assert parsed.options == {"username": "u", "password": "p", "db": 3, "ssl": True, "ssl_cert_reqs": "none"}
    assert parsed.sentinel == {"username": "w"}
    assert parsed.place == "a:26379, [::1]:7 (Sentinel, main), database 3"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("localhost:sekrit", "The port isn't a number"),
        ("localhost:0", "The port isn't a number"),
        ("localhost:65536", "The port isn't a number"),
        ("localhost:1,pasword=sekrit", "did you mean password"),
        ("localhost:1,db=1,sekrit=b", "An option is unknown"),
        ("localhost:1,db=1,sekrit", "After an option comes something"),
        ("user:sekrit@localhost:1", "The host contains @"),
        ("::1:6379", "no brackets"),
        ("[sekrit]:1", "isn't an IPv6 address"),
        ("localhost:1,ssl_ca_certs=sekrit", "need rediss://"),
        ("rediss://localhost?ssl_cert_reqs=sekrit", "must be none, optional or required"),
        ("redis://:%ff@localhost", "isn't valid UTF-8"),
        ("redis://localhost?password=%ff", "isn't valid UTF-8"),
        ("redis://a,b", "The host or the port of the URL is invalid"),
        ("redis+sentinel://:sekrit@localhost", "lacks the name of the master"),
        ("redis+sentinel://:sekrit@localhost,/main", "no host"),
        ("redis://localhost?sentinel_password=sekrit", "options of Sentinel"),
        ("unix://:sekrit@", "no path of a socket"),
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
