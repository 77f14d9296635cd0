"""Certificates and passwords with a real broker and store: right ones connect, and wrong ones are
refused with a message that does not contain the password.
"""

import asyncio
import gc
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from config.settings import Settings, SettingsError, load_settings
from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import free_ports
from streams.embedded.valkey import EmbeddedValkey
from streams.kafka_clients import BrokerUnreachable, client_options, new_admin, new_reader, running
from streams.store_writes import connect

PASSWORD = "canary-5d1f"
HOST = "127.0.0.1"


class Authority:
    """Signs certificates with openssl: `ca.pem`, and for each name `NAME.pem`, including the
    key.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                  "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    @property
    def cafile(self) -> str:
        return str(self.directory / "ca.pem")

    def sign(self, name: str, alternative: str) -> str:
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        (self.directory / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                  "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                  "-out", f"{name}.crt")  # fmt: skip
        together = self.directory / f"{name}.pem"
        together.write_text(self._text(f"{name}.key") + self._text(f"{name}.crt"))
        return str(together)

    def lock(self, name: str) -> str:
        """Encrypt the key of ``name`` with `PASSWORD`."""
        self._run("rsa", "-aes256", "-passout", f"pass:{PASSWORD}", "-in", f"{name}.key",
                  "-out", f"{name}.locked.key")  # fmt: skip
        return str(self.directory / f"{name}.locked.key")

    def certificate(self, name: str) -> str:
        return str(self.directory / f"{name}.crt")

    def _text(self, file: str) -> str:
        return (self.directory / file).read_text()

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert 0 == done.returncode, done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls") / "ours")
    made.sign("server", f"IP:{HOST}")
    made.sign("elsewhere", "DNS:elsewhere.example")
    made.sign("client", "DNS:client.example")
    return made


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("tls") / "theirs")
    made.sign("client", "DNS:client.example")
    return made


class SecureBroker:
    """A broker with a listener for passwords, one for certificates, and one with a false name."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        broker, controller, *ports = free_ports(5)
        self.login, self.mutual, self.elsewhere = (f"{HOST}:{port}" for port in ports)
        names = {"LOGIN": self.login, "MUTUAL": self.mutual, "ELSEWHERE": self.elsewhere}
        secure = ",".join(f"{name}://{address}" for name, address in names.items())
        jaas = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        properties = {
            "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller},{secure}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{broker},{secure}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,"
            "LOGIN:SASL_SSL,MUTUAL:SSL,ELSEWHERE:SSL",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": f'{jaas} user_keeper="{PASSWORD}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(authority.directory / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": authority.cafile,
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.elsewhere.ssl.keystore.location": str(
                authority.directory / "elsewhere.pem"
            ),
        }
        self.kafka = EmbeddedKafka(directory, properties=properties)
        # Its listeners are named above, so its ports are chosen here.
        self.kafka._ports = [broker, controller]


@pytest.fixture(scope="module")
def secure(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SecureBroker]:
    broker = SecureBroker(tmp_path_factory.mktemp("secure-kafka"), authority)
    with broker.kafka:
        yield broker


def reach(settings: Settings) -> None:
    """Connect with both kinds of clients."""

    async def read() -> None:
        async with running(new_reader(settings), settings):
            pass

    try:
        with closing(new_admin(settings)) as admin:
            admin.describe_cluster()
        asyncio.run(read())
    finally:
        _collect()


def _collect() -> None:
    """Collect what the clients leave to the garbage collector: kafka-python 3.0.12 a socket whose
    handshake failed, aiokafka 0.14 a TLS connection whose end the other side has not confirmed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def login(address: str, cafile: str, **changed: Any) -> Settings:
    fields = {"sasl_username": "keeper", "sasl_password": PASSWORD, **changed}
    return load_settings(
        {}, bootstrap_servers=address, security_protocol="SASL_SSL", ssl_cafile=cafile, **fields
    )


def mutual(address: str, cafile: str, **fields: Any) -> Settings:
    return load_settings(
        {}, bootstrap_servers=address, security_protocol="SSL", ssl_cafile=cafile, **fields
    )


@pytest.mark.kafka
def test_a_password_over_tls_connects(secure: SecureBroker, authority: Authority) -> None:
    reach(login(secure.login, authority.cafile))


@pytest.mark.kafka
def test_a_certificate_connects_and_its_key_may_be_apart_and_locked(
    secure: SecureBroker, authority: Authority
) -> None:
    together = str(authority.directory / "client.pem")
    reach(mutual(secure.mutual, authority.cafile, ssl_certfile=together))
    apart = {
        "ssl_certfile": authority.certificate("client"),
        "ssl_keyfile": authority.lock("client"),
    }
    reach(mutual(secure.mutual, authority.cafile, ssl_key_password=PASSWORD, **apart))
    for wrong in ("", "another"):
        settings = mutual(secure.mutual, authority.cafile, ssl_key_password=wrong, **apart)
        with pytest.raises(SettingsError, match="KEEPSTREAM_SSL_CERTFILE is .* can't be used"):
            client_options(settings)


@pytest.mark.kafka
@pytest.mark.parametrize(
    "wrong", ["password", "authority", "host", "no certificate", "another's certificate"]
)
def test_what_does_not_fit_is_refused_in_words_and_without_the_password(
    secure: SecureBroker, authority: Authority, stranger: Authority, wrong: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr("streams.kafka_clients.REACH_TIMEOUT_MS", 3_000)
    certificate = {"ssl_certfile": str(stranger.directory / "client.pem")}
    settings = {
        "password": login(secure.login, authority.cafile, sasl_password=f"{PASSWORD}-not"),
        "authority": login(secure.login, stranger.cafile),
        "host": mutual(secure.elsewhere, authority.cafile),
        "no certificate": mutual(secure.mutual, authority.cafile),
        "another's certificate": mutual(secure.mutual, authority.cafile, **certificate),
    }[wrong]
    with pytest.raises(BrokerUnreachable) as refused:
        reach(settings)
    assert "KEEPSTREAM_SSL_*" in str(refused.value)
    assert PASSWORD not in str(refused.value) + caplog.text


@asynccontextmanager
async def tls_in_front_of(port: int, certificate: str) -> AsyncIterator[int]:
    """A port that accepts TLS and forwards to ``port``, as a managed store does."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while content := await source.read(65_536):
                target.write(content)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    server = await asyncio.start_server(serve, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("wrong", [None, "password", "no password", "authority", "host", "plain"])
def test_the_store_is_reached_over_tls_with_its_password_or_not_at_all(
    authority: Authority, stranger: Authority, tmp_path: Path, wrong: str | None
) -> None:
    certificate = "elsewhere" if wrong == "host" else "server"
    cafile = stranger.cafile if wrong == "authority" else authority.cafile
    password = {"password": f":{PASSWORD}-not@", "no password": ""}.get(
        wrong or "", f":{PASSWORD}@"
    )

    async def ping(port: int) -> None:
        scheme = "redis" if wrong == "plain" else "rediss"
        query = "" if wrong == "plain" else f"?ssl_ca_certs={cafile}"
        settings = load_settings({}, redis_url=f"{scheme}://{password}{HOST}:{port}/0{query}")
        async with connect(settings) as client:
            await client.ping()

    async def try_it() -> None:
        with EmbeddedValkey(tmp_path / "valkey") as valkey:
            async with connect(load_settings({}, redis_url=valkey.url)) as owner:
                await owner.config_set("requirepass", PASSWORD)
            pem = str(authority.directory / f"{certificate}.pem")
            async with tls_in_front_of(valkey.ports[0], pem) as port:
                await ping(port)

    if wrong is None:
        asyncio.run(try_it())
    else:
        kind = AuthenticationError if wrong.endswith("password") else RedisConnectionError
        with pytest.raises(kind):
            asyncio.run(try_it())
    _collect()
