"""Addresses of https, and proxies: who is trusted with a key, and who never sees it."""

import pickle
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
import trustme

from augfeed.errors import InputError
from augfeed_client import Connection, RemoteError, RemoteLoader
from augfeed_client.proxies import proxy_of
from tests.client.fronts import ForwardProxy, Front
from tests.service.servers import Running
from tests.waiting import HANG

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def bundle(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the certificate of those who vouch for servers."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def context_of(authority: trustme.CA, *names: str, clients: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    return context


@pytest.fixture
def front(running: Running, authority: trustme.CA) -> Iterator[Front]:
    """The service behind TLS, as 127.0.0.1 and as service.test."""
    with Front(running.port, context_of(authority, "127.0.0.1", "service.test")) as made:
        yield made


def connected(**given: Any) -> Connection:
    return Connection(workers=2, ahead=3, deadline=10 * HANG, timeout=HANG / 4, **given)


def read(urls: Any, **given: Any) -> list[torch.Tensor]:
    loader = RemoteLoader(urls, dataset="digits", policy="hflip", batch_size=16, shuffle=True,
                          seed=3, connection=connected(**given))  # fmt: skip
    again = pickle.loads(pickle.dumps(loader))
    found = [images for images, _ in loader]
    assert all(torch.equal(a, b[0]) for a, b in zip(found, again, strict=True))
    return found


def same(some: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return len(some) == 8 and all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


def test_batches_over_tls_are_those_without(running: Running, front: Front, bundle: Path) -> None:
    assert same(read(front.url, ca_bundle=bundle), read(running.url))


def test_a_server_that_nobody_vouches_for_is_an_error_at_once(
    running: Running, front: Front, authority: trustme.CA, bundle: Path
) -> None:
    with pytest.raises(RemoteError, match=r"CERTIFICATE_VERIFY_FAILED.*ca_bundle=") as caught:
        read(front.url, key="secret-of-mine")
    assert "secret-of-mine" not in str(caught.value)
    with (
        Front(running.port, context_of(authority, "other.test")) as other,
        pytest.raises(RemoteError, match=r"CERTIFICATE_VERIFY_FAILED.*127\.0\.0\.1"),
    ):
        read(other.url, ca_bundle=bundle)
    with pytest.raises(RemoteError, match="WRONG_VERSION_NUMBER"):
        read(f"https://127.0.0.1:{running.port}", ca_bundle=bundle)


def test_one_server_that_is_not_trusted_leaves_the_others(
    running: Running, front: Front, authority: trustme.CA, bundle: Path
) -> None:
    with Front(running.port, context_of(authority, "other.test")) as other:
        found = read([other.url, front.url], ca_bundle=bundle)
    assert same(found, read(running.url))


def test_a_client_proves_who_it_is(
    running: Running, authority: trustme.CA, bundle: Path, tmp_path: Path
) -> None:
    mine = authority.issue_cert("me@clients.test")
    both, chain, private = (tmp_path / name for name in ("both.pem", "chain.pem", "key.pem"))
    mine.private_key_and_cert_chain_pem.write_to_path(str(both))
    for blob in mine.cert_chain_pems:
        blob.write_to_path(str(chain), append=True)
    mine.private_key_pem.write_to_path(str(private))
    expected = read(running.url)
    with Front(running.port, context_of(authority, "127.0.0.1", clients=True)) as asking:
        for given in ({"client_certificate": both},
                      {"client_certificate": str(chain), "client_key": private}):  # fmt: skip
            assert same(read(asking.url, ca_bundle=bundle, **given), expected)
        # How the other side ends the connection is a race of its alert with what is sent.
        with pytest.raises(RemoteError):
            read_once(asking.url, Connection(deadline=1.0, ca_bundle=bundle))


def read_once(url: str, connection: Connection) -> Any:
    loader = RemoteLoader(url, dataset="digits", policy="hflip", connection=connection)
    return next(iter(loader))


def test_files_that_are_no_certificates_are_named(
    authority: trustme.CA, bundle: Path, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization

    mine = authority.issue_cert("me@clients.test")
    locked = tmp_path / "locked.pem"
    key = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None)
    locked.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    ) + mine.cert_chain_pems[0].bytes())  # fmt: skip
    (tmp_path / "text.pem").write_text("nothing")
    for given, said in (
        ({"ca_bundle": tmp_path / "none.pem"}, "ca_bundle='.*none.pem' does not exist"),
        ({"ca_bundle": 3}, "ca_bundle=3 is not a path"),
        ({"client_key": bundle}, "without a client_certificate"),
        ({"client_certificate": ""}, "client_certificate='' does not exist"),
        ({"ca_bundle": tmp_path / "text.pem"}, "text.pem' holds no certificates"),
        ({"client_certificate": bundle}, "ca.pem': not a certificate with its private key"),
        ({"client_certificate": locked}, "locked.pem': not .* without a password"),
    ):
        with pytest.raises(InputError, match=said):
            read_once("https://127.0.0.1:9", Connection(**given))


# Proxies


@pytest.mark.parametrize("spelled", ["http://{}", "{}", "http://me:pass%20word@{}"])
@pytest.mark.parametrize("capitals", [False, True])
def test_a_proxy_of_the_environment_is_asked(
    running: Running, monkeypatch: pytest.MonkeyPatch, spelled: str, capitals: bool
) -> None:
    with ForwardProxy(running.port) as proxy:
        monkeypatch.setenv(
            "HTTP_PROXY" if capitals else "http_proxy", spelled.format(proxy.address)
        )
        assert same(read("http://service.test:81", key="secret"), read(running.url))
        assert all(b" http://service.test:81/v1/" in head for head in proxy.heads)
        login = b": Basic bWU6cGFzcyB3b3Jk\r\n"
        assert all((login in head) == ("@" in spelled) for head in proxy.heads)


def test_a_proxy_sees_neither_key_nor_batches_of_https(
    running: Running, front: Front, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ForwardProxy(front.port) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:word@{proxy.address}")
        found = read("https://service.test", key="secret", ca_bundle=bundle)
        assert same(found, read(running.url))
        assert proxy.heads and all(
            head.startswith(b"CONNECT service.test:443 HTTP/1.") and b"secret" not in head
            and b": Basic bWU6d29yZA==" in head for head in proxy.heads
        )  # fmt: skip


def test_this_machine_is_never_asked_through_a_proxy(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ForwardProxy(running.port) as proxy:
        for name in VARIABLES[:3]:
            monkeypatch.setenv(name, f"http://{proxy.address}")
        for host in ("127.0.0.1", "localhost"):
            assert len(read(f"http://{host}:{running.port}")) == 8
        assert not proxy.taken
    for host in ("127.8.9.1", "[::1]", "a.localhost"):
        assert proxy_of(urlsplit(f"http://{host}:80")) is None


NAMES = ("http://a.b.test", "http://b.test", "https://b.test:8443")
FOUR, SIX = "http://10.1.2.3:5", "https://[fd00::7]"


@pytest.mark.parametrize(
    ("listed", "passed_by"),
    [("", ()), ("*", (*NAMES, FOUR, SIX)), ("b.test", NAMES), (".b.test, other", NAMES),
     ("ab.test,test.b", ()), ("b.test:8443", NAMES[2:]), ("a.b.test", NAMES[:1]),
     ("10.0.0.0/8", (FOUR,)), ("10.1.2.3", (FOUR,)), ("10.1.2.4,10.1.2.3/99,x/y", ()),
     ("fd00::/16", (SIX,)), ("[fd00::7]", (SIX,)), ("b.test , fd00::7,10.1.2.0/24",
     (*NAMES, FOUR, SIX))],
)  # fmt: skip
def test_no_proxy_lists_names_addresses_and_networks(
    listed: str, passed_by: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", listed)
    found = [url for url in (*NAMES, FOUR, SIX) if proxy_of(urlsplit(url)) is None]
    assert found == list(passed_by)


def test_a_proxy_of_a_scheme_comes_before_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "http://all.test")
    monkeypatch.setenv("https_proxy", "https://own.test:99")
    found = [proxy_of(urlsplit(f"{scheme}://b.test")) for scheme in ("http", "https")]
    assert [proxy and proxy.url for proxy in found] == ["http://all.test", "https://own.test:99"]


@pytest.mark.parametrize("text", ["socks5://me:word@p.test:1", "http://", "http://p.test:word"])
def test_proxies_that_cannot_be_used_are_named_without_their_password(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("http_proxy", text)
    with pytest.raises(InputError, match="HTTP_PROXY") as caught:
        read_once("http://service.test", Connection())
    assert "word" not in str(caught.value)


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.waiting import closed_port

    with closed_port() as port:
        monkeypatch.setenv("http_proxy", f"http://me:word@127.0.0.1:{port}")
        with pytest.raises(RemoteError, match=rf"through the proxy http://127.0.0.1:{port}") as one:
            read_once("http://service.test", Connection(deadline=0.5))
    assert "word" not in str(one.value)
