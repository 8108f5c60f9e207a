"""A real Kafka that lets not everybody in: a listener with a login, two with certificates, and rights for its user.

Its open listener is for the test itself, which may do everything; the user of the login may do what was granted.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stream_app.local import health, packages, processes
from stream_app.local.jars import kafka_jars
from stream_app.local.servers import KAFKA_LOGGING, KAFKA_PROPERTIES
from stream_app.local.stack import free_ports
from tests.waiting import until

USER, PASSWORD = "bank", "Sup3r-p@ss#word"
WRITE, DESCRIBE = 4, 8
"""Rights, by Kafka's numbers."""
_TOPIC, _ALLOW, _LITERAL = 2, 3, 3
_LISTENERS = """
listeners=OPEN://127.0.0.1:{0},LOGIN://127.0.0.1:{2},TLS://127.0.0.1:{3},EXPIRED://127.0.0.1:{4},CONTROLLER://127.0.0.1:{1}
advertised.listeners=OPEN://127.0.0.1:{0},LOGIN://127.0.0.1:{2},TLS://localhost:{3},EXPIRED://localhost:{4}
listener.security.protocol.map=OPEN:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,TLS:SSL,EXPIRED:SSL
inter.broker.listener.name=OPEN
sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


@dataclass(frozen=True, slots=True)
class GuardedKafka:
    """Addresses of its listeners, host:port. Its certificates are for the name `localhost`; `cafile` has who signed them."""

    open: str
    login: str
    tls: str
    expired: str
    cafile: str

    async def grant(self, topic: str, *operations: int) -> None:
        """Let the user do this with a topic."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.open)
        await admin.start()
        try:
            for operation in operations:
                # aiokafka has the request, and no call for it
                answer = await admin._send_request(CreateAclsRequest(_TOPIC, topic, _LITERAL, f"User:{USER}", "*", operation, _ALLOW))
                assert all(code == 0 for code, _ in answer.creation_responses), answer
        finally:
            await admin.close()


@contextmanager
def guarded_kafka() -> Iterator[GuardedKafka]:
    """A broker that answers, ended on leaving."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraudstream-guarded-")))
        ports = free_ports(5)
        ours = KAFKA_PROPERTIES.format(host="127.0.0.1", port=ports[0], controller=ports[1]).splitlines()
        kept = [line for line in ours if not line.startswith(("listeners=", "advertised.listeners=", "inter.broker.listener.name="))]
        guards = _LISTENERS.format(*ports, user=USER, password=PASSWORD) + _certificates(folder)
        (folder / "server.properties").write_text("\n".join(kept) + guards)
        (folder / "log4j2.properties").write_text(KAFKA_LOGGING)
        java = [str(packages.java()), "-cp", f"{kafka_jars()}/*", "-Dlog4j2.configurationFile=log4j2.properties", "-Xmx300m"]
        log = folder / "kafka.log"
        form = ["kafka.tools.StorageTool", "format", "--cluster-id=4L6g3nShT-eMCtK--X86sw", "--config=server.properties"]
        assert processes.run([*java, *form], folder, log, processes.environment("", {}), 60), log.read_text()
        output = stack.enter_context(log.open("ab"))
        broker = subprocess.Popen([*java, "kafka.Kafka", "server.properties"], cwd=folder, stdout=output, stderr=output)
        stack.callback(broker.wait)
        stack.callback(broker.kill)
        until(lambda: broker.poll() is not None or health.kafka_serves(f"127.0.0.1:{ports[0]}"), "the guarded Kafka to answer")
        assert broker.poll() is None, log.read_text()
        opened, login, tls, expired = ports[0], *ports[2:]
        hosts = (f"127.0.0.1:{opened}", f"127.0.0.1:{login}", f"localhost:{tls}", f"localhost:{expired}")
        yield GuardedKafka(*hosts, cafile=str(folder / "ca.pem"))


def _certificates(folder: Path) -> str:
    """Two for `localhost`, the second one over, and the file of who signed them; the settings of the listeners that show them."""
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    signer = ec.generate_private_key(ec.SECP256R1())
    basic = x509.BasicConstraints(ca=True, path_length=None)
    authority = _unsigned("Tests", signer, now + day).add_extension(basic, critical=True).sign(signer, hashes.SHA256())
    (folder / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    settings = ""
    for listener, end in (("tls", now + day), ("expired", now - day)):
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        shown = _unsigned("localhost", key, end).add_extension(names, critical=False).sign(signer, hashes.SHA256())
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{listener}.pem").write_bytes(key.private_bytes(*plain) + shown.public_bytes(serialization.Encoding.PEM))
        settings += f"listener.name.{listener}.ssl.keystore.type=PEM\nlistener.name.{listener}.ssl.keystore.location={listener}.pem\n"
    return settings


def _unsigned(name: str, key: ec.EllipticCurvePrivateKey, end: dt.datetime) -> x509.CertificateBuilder:
    """A certificate of three days that ends then."""
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tests")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    built = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(key.public_key())
    begin = end - dt.timedelta(days=3)
    return built.serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(end)
