"""nginx and HAProxy as they are shipped in systemd/, run as ordinary processes on free ports, in front of daemons of the test's."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.rigs.certificate import certificate
from tests.rigs.program import Program

SHIPPED = Path(__file__).parent.parent.parent / "systemd"

ADDRESSES = ("127.0.0.1:8002", "127.0.0.1:8003")
"""Of the instances, as the shipped files have them."""

NGINX = """
daemon off;
master_process on;
{user}
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/realtime.conf;
}}
"""
"""What Debian's nginx.conf is around the shipped file."""


def program(name: str) -> str:
    """Where it is; skips the test where it is not."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: {name})")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


class Proxy(Program):
    """`with proxy(...) as proxy:` it passes on inside."""

    def __init__(self, command: Sequence[str], port: int, ready: str) -> None:
        self.port = port
        super().__init__(command)
        self.wait_for_line(ready)

    @property
    def url(self) -> str:
        return f"wss://localhost:{self.port}/v1/realtime"


def fitted(name: str, replaced: dict[str, str]) -> str:
    """The shipped file, with what is different on every machine. Fails where it has none of it."""
    text = (SHIPPED / name).read_text(encoding="utf-8")
    for shipped, ours in replaced.items():
        assert text.count(shipped) == 1, f"{name} has not one {shipped!r}"
        text = text.replace(shipped, ours)
    return text


def nginx_files(folder: Path, ports: Sequence[int], port: int) -> Path:
    """Write what nginx needs there; return the file that it is started with."""
    chain, key = certificate(folder)
    instances = {shipped: f"127.0.0.1:{ours}" for shipped, ours in zip(ADDRESSES, ports, strict=True)}
    more = {"listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "/etc/nginx/realtime.crt": str(chain), "/etc/nginx/realtime.key": str(key)}
    (folder / "realtime.conf").write_text(fitted("nginx.conf", instances | more))
    main = folder / "nginx.conf"
    main.write_text(NGINX.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
    return main


def haproxy_files(folder: Path, ports: Sequence[int], port: int) -> Path:
    """The same for HAProxy."""
    chain, key = certificate(folder)
    (folder / "realtime.pem").write_text(chain.read_text() + key.read_text())
    instances = {shipped: f"127.0.0.1:{ours}" for shipped, ours in zip(ADDRESSES, ports, strict=True)}
    more = {
        "maxconn 50000": "maxconn 1000",  # descriptors are counted before anything starts
        "bind :443": f"bind 127.0.0.1:{port}",
        "/etc/haproxy/realtime.pem": str(folder / "realtime.pem"),
        "/run/haproxy/admin.sock": str(folder / "admin.sock"),
    }
    file = folder / "haproxy.cfg"
    file.write_text(fitted("haproxy.cfg", instances | more))
    return file


def nginx(folder: Path, ports: Sequence[int]) -> Proxy:
    port = free_port()
    main = nginx_files(folder, ports, port)
    return Proxy([program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(main)], port, "start worker process ")


def haproxy(folder: Path, ports: Sequence[int]) -> Proxy:
    port = free_port()
    return Proxy([program("haproxy"), "-W", "-f", str(haproxy_files(folder, ports, port))], port, "Loading success")
