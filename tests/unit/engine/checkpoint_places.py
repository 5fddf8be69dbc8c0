"""The places that checkpoints go to, with a way to spoil files there: directory, memory, S3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from cep.engine.checkpoint.objects import open_url
from cep.engine.checkpoint.store import CheckpointStore


@dataclass(frozen=True)
class Spot:
    """A place that begins empty, and its files behind the store's back."""

    place: str
    options: dict[str, Any] = field(default_factory=dict)

    def store(self, **options: Any) -> CheckpointStore:
        return CheckpointStore(self.place, storage_options=self.options, **options)

    @property
    def is_local(self) -> bool:
        return "://" not in self.place

    @property
    def objects(self) -> Any:
        return open_url(self.place, self.options)._store

    def get(self, name: str) -> bytes:
        if self.is_local:
            return (Path(self.place) / name).read_bytes()
        import obstore

        return obstore.get(self.objects, name).bytes().to_bytes()

    def put(self, name: str, data: bytes) -> None:
        if self.is_local:
            (Path(self.place) / name).write_bytes(data)
        else:
            import obstore

            obstore.put(self.objects, name, data)

    def spoil(self, number: int) -> None:
        """Flip one bit in the middle of that checkpoint."""
        name = f"checkpoint-{number:08}.ckpt"
        data = bytearray(self.get(name))
        data[len(data) // 2] ^= 4
        self.put(name, bytes(data))

    def names(self) -> list[str]:
        if self.is_local:
            return sorted(p.name for p in Path(self.place).iterdir() if p.suffix != ".lock")
        import obstore

        return sorted(entry["path"] for entry in obstore.list(self.objects).collect())


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, Any]]:
    """An S3 server in this process with one bucket named `bucket`."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    account = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **account)
    client.create_bucket(Bucket="bucket")
    client.close()
    yield {
        "endpoint": url,
        "region": "us-east-1",
        **account,
        "virtual_hosted_style_request": False,
        "client_options": {"allow_http": True},
    }
    server.stop()


@pytest.fixture(params=["directory", "memory", "s3"])
def spot(request: pytest.FixtureRequest, tmp_path: Path) -> Spot:
    """Each of the three places; a name of its own for each test."""
    if request.param == "directory":
        return Spot(str(tmp_path / "checkpoints"))
    name = tmp_path.name.replace("[", "-").replace("]", "")
    if request.param == "memory":
        pytest.importorskip("obstore")
        return Spot(f"memory://{name}")
    return Spot(f"s3://bucket/jobs/{name}", request.getfixturevalue("s3_options"))


def names_of(numbers: list[int]) -> list[str]:
    return [f"checkpoint-{number:08}.ckpt" for number in numbers]


def opened_path(spot: Spot, name: str) -> str:
    """A full path or URL of a file."""
    return f"{spot.place}/{name}" if urlparse(spot.place).scheme else str(Path(spot.place) / name)
