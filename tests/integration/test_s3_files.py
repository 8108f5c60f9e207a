"""Files behind `s3://`, asked of a real S3 server: versitygw, which `scripts/ship/tools versitygw` builds from its Go module; skipped where it is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

from stream_app.errors import DataError
from stream_app.local.stack import free_ports
from tests.conftest import ROOT
from tests.waiting import until
from training.data import object_store
from training.data.dataset import read_transactions, with_labels
from training.data.simulate import Simulation, simulate
from training.data.sources import digest_of

BUILT = ROOT / ".tools" / "ship" / "bin" / "versitygw"
PASS = uuid4().hex
LOGIN = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": PASS, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
"""Without the last one a login is looked for at an address that only machines of AWS have."""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server, and the folder that it shows as bucket `payments`."""
    gateway = shutil.which("versitygw") or (str(BUILT) if BUILT.exists() else None)
    if gateway is None:
        pytest.skip("versitygw is not here: scripts/ship/tools versitygw builds it, where Go is installed")
    (port,) = free_ports(1)
    home = tmp_path_factory.mktemp("s3")
    bucket = home / "buckets" / "payments"
    bucket.mkdir(parents=True)
    _write(bucket)
    command = [gateway, "--access", "reader", "--secret", PASS, "--port", f"127.0.0.1:{port}", "posix", str(bucket.parent)]
    log = home / "log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            with pytest.MonkeyPatch.context() as patch:
                _enter(patch, f"http://127.0.0.1:{port}")
                until(lambda: server.poll() is not None or _lists(), "versitygw to answer")
            assert server.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}", bucket
        finally:
            server.terminate()


@pytest.fixture
def bucket(s3: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The bucket's folder; address and login are in the environment, as AWS's programs take them."""
    _enter(monkeypatch, s3[0])
    yield s3[1]
    object_store.store.cache_clear()


def _enter(patch: pytest.MonkeyPatch, address: str) -> None:
    for name, value in (LOGIN | {"AWS_ENDPOINT_URL": address, "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}).items():
        patch.setenv(name, value)
    object_store.store.cache_clear()


def _lists() -> bool:
    try:
        object_store.store().get_file_info("payments")
    except OSError:
        return False
    return True


def _write(bucket: Path) -> None:
    """A history in halves, packed and as Parquet, and whole; a chargeback in a file of its own."""
    frame = simulate(Simulation(customers=300, terminals=200, days=45, compromised_terminals=0.5, compromised_customers=1))
    half = len(frame) // 2
    (bucket / "packed").mkdir()
    frame.iloc[:half].to_csv(bucket / "packed" / "1.csv.gz", index=False)
    frame.iloc[half:].to_csv(bucket / "packed" / "2.csv.zst", index=False)
    (bucket / "parts").mkdir()
    frame.iloc[:half].to_parquet(bucket / "parts" / "1.parquet")
    frame.iloc[half:].to_parquet(bucket / "parts" / "2.parquet")
    frame.to_parquet(bucket / "whole.parquet")
    pd.DataFrame({"transaction_id": frame["transaction_id"].tolist()[:1]}).to_csv(bucket / "chargebacks.csv", index=False)


def ids(path: str) -> list[str]:
    """Of the payments that are read."""
    return read_transactions(Path(path))["transaction_id"].tolist()


def test_files_in_a_bucket_are_read_as_those_of_a_folder(bucket: Path) -> None:
    """One file, a prefix, a pattern; packed and Parquet; labels of their own; the same digest."""
    whole = read_transactions(Path("s3://payments/whole.parquet"))
    every = pd.read_parquet(bucket / "whole.parquet")["transaction_id"].tolist()
    assert whole["transaction_id"].tolist() == every
    assert ids("s3://payments/packed") == ids("s3://payments/packed/") == ids("s3://payments/parts/*.parquet") == every
    assert ids("s3://payments/packed/*.gz") == every[: len(every) // 2]
    assert digest_of(Path("s3://payments/whole.parquet")) == digest_of(bucket / "whole.parquet")
    labelled, joined = with_labels(whole.assign(is_fraud=False), Path("s3://payments/chargebacks.csv"), mapping=None, label_delay_days=7)
    assert (joined.joined, int(labelled["is_fraud"].sum())) == (1, 1)


@pytest.mark.parametrize(
    ("path", "changes", "says"),
    [
        ("none.csv", {}, r"is not there, and its bucket is\. Check the path\."),
        ("none/*.parquet", {}, r"has no file of a known format"),
        ("../none/x.csv", {}, r"there is no bucket 'none' at 127\.0\.0\.1:\d+\. Check its name, and that AWS_ENDPOINT_URL"),
        ("../none", {}, r"there is no bucket 'none'"),
        ("../none/*.csv", {}, r"there is no bucket 'none'"),
        ("whole.parquet", {"AWS_SECRET_ACCESS_KEY": "another"}, r"refuses the secret of the login\. Check AWS_SECRET_ACCESS_KEY\."),
        ("whole.parquet", {"AWS_ACCESS_KEY_ID": "nobody"}, r"does not know the access key\. Check AWS_ACCESS_KEY_ID"),
        (
            "whole.parquet",
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            r"to nobody without a login, and none is named here\. Set AWS_ACCESS",
        ),
        ("whole.parquet", {"AWS_REGION": "eu-central-1"}, r"another one than 'eu-central-1' \(.*us-east-1.*\)\. Set AWS_REGION"),
        (
            "whole.parquet",
            {"AWS_ENDPOINT_URL": "http://no-such-store.invalid:9"},
            r"no-such-store\.invalid:9, was not found\. Check AWS_ENDPOINT_URL",
        ),
        (
            "whole.parquet",
            {"AWS_ENDPOINT_URL": f"http://me:{PASS}@127.0.0.1:1"},
            r"127\.0\.0\.1:1 does not answer .*Check AWS_ENDPOINT_URL",
        ),
        (
            "whole.parquet",
            {"AWS_ENDPOINT_URL": "127.0.0.1:9000"},
            r"AWS_ENDPOINT_URL is no address of a store\. Write it as https://host:port",
        ),
    ],
    ids=lambda given: None if isinstance(given, dict) else str(given)[:30],
)
def test_what_the_store_does_not_give_is_told_by_its_cause_with_the_remedy(
    bucket: Path, monkeypatch: pytest.MonkeyPatch, path: str, changes: dict[str, str], says: str
) -> None:
    """Bucket, path, secret, key, login, region, address; nothing of a secret."""
    assert bucket.exists()
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    object_store.store.cache_clear()
    wrong = f"s3://payments/{path}".replace("payments/../", "")
    with pytest.raises(DataError, match=says) as told:
        read_transactions(Path(wrong))
    assert PASS not in str(told.value)
    assert wrong in str(told.value) or "is no address" in str(told.value)


def test_inspect_reads_a_bucket_and_ends_with_the_code_of_data_where_there_is_none(bucket: Path) -> None:
    """By a pattern of packed files; 65, and the cause in a line."""

    def inspected(path: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "stream_app.cli", "inspect", path], capture_output=True, text=True, check=False)

    seen = inspected("s3://payments/packed/*.csv.*")
    assert seen.returncode == 0, seen.stderr
    assert f"s3://payments/packed/*.csv.*: all {len(pd.read_parquet(bucket / 'whole.parquet')):,} rows" in seen.stdout
    refused = inspected("s3://none/x.csv")
    assert (refused.returncode, "there is no bucket 'none'" in refused.stderr) == (65, True), refused.stderr


def test_train_and_produce_read_a_bucket_as_commands(bucket: Path, tmp_path: Path) -> None:
    """A model of a prefix of parts; payments of a pattern of packed files; 65 with the cause where there is no bucket. Nothing is asked of Kafka or MLflow."""
    assert bucket.exists()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "stream_app.cli", *arguments], capture_output=True, text=True, check=False)

    labels = ["--labels", "s3://payments/chargebacks.csv"]
    trained = run(
        "train", "--data", "s3://payments/parts/", "--no-register", "--trees", "5", "--max-depth", "6", "--out", str(tmp_path / "m.onnx")
    )
    assert (trained.returncode, (tmp_path / "m.onnx").exists()) == (0, True), trained.stderr
    produced = run("produce", "s3://payments/packed/*.csv.*", *labels, "--start", "2100-01-01")
    assert produced.returncode == 65, produced.stderr
    assert "Labels: 1; 1 joined to 1 payments" in produced.stderr
    assert "s3://payments/packed/*.csv.* has no transactions between --start and --end" in produced.stderr
    for command in (["train", "--no-register", "--data"], ["produce"]):
        refused = run(*command, "s3://none/x.csv")
        assert (refused.returncode, "there is no bucket 'none'" in refused.stderr) == (65, True), refused.stderr
