"""The nginx.conf that a careful person would write for the same routes: the measure of what a gateway costs. Pure.

Clients and backends get what they get from the gateway (the same headers, the same log line), by the fewest directives
that do it; addresses and certificates are literal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.dataplane.sites import PATHS, PORT, Site

_HEAD = """\
daemon off;
pid {folder}/master;
error_log stderr notice;
worker_processes 1;
worker_rlimit_nofile 100000;
events {{ worker_connections 16384; multi_accept on; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type text/html;
    server_names_hash_max_size 65536;
    server_names_hash_bucket_size 128;
    keepalive_timeout 75s;
    keepalive_requests 1000;
    tcp_nopush on;
    reset_timedout_connection on;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers {ciphers};
    ssl_prefer_server_ciphers on;
    ssl_session_cache shared:tls:10m;
    ssl_session_timeout 10m;
    ssl_session_tickets off;
    ssl_buffer_size 4k;
    log_format site {log_format};
    access_log /dev/stdout site;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    map $http_x_request_id $request_name {{ default $http_x_request_id; "" $request_id; }}
    proxy_http_version 1.1;
    proxy_connect_timeout 1s;
    proxy_buffer_size 4k;
    proxy_buffers 4 4k;
    proxy_request_buffering on;
    proxy_next_upstream error timeout;
    proxy_next_upstream_tries 3;
    proxy_redirect off;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header X-Request-ID $request_name;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Host $http_host;
    proxy_set_header X-Forwarded-Port $server_port;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Scheme $scheme;
    proxy_set_header X-Scheme $scheme;
    proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
    server {{ listen {http} default_server backlog=4096; listen {https} ssl default_server backlog=4096; http2 on;
        return 404; }}
"""
_LOG = (  # the gateway's default format, its own variables replaced by what they say
    """'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" """
    """"$http_user_agent" $request_length $request_time [$proxy_host] [] $upstream_addr $upstream_response_length """
    """$upstream_response_time $upstream_status $request_name'"""
)
_UPSTREAM = """\
    upstream {name} {{ {servers} keepalive {keepalive}; keepalive_timeout 60s; keepalive_requests 10000; }}
"""
_SERVER = """\
    server {{ listen {http}; listen {https} ssl; http2 on; server_name {host};
{locations}
    }}
"""
_SECURE_SERVER = """\
    server {{ listen {http}; server_name {host}; return 308 https://$host$request_uri; }}
    server {{ listen {https} ssl; http2 on; server_name {host};
        add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" always;
{locations}
    }}
"""


@dataclass(frozen=True)
class Ports:
    """Where it listens."""

    http: int
    https: int


def nginx_conf(
    sites: Iterable[Site], *, folder: str, ports: Ports, certificate: str, key: str, ciphers: str, keepalive: int
) -> str:
    """Write the file for these sites."""
    head = _HEAD.format(
        folder=folder,
        certificate=certificate,
        key=key,
        ciphers=ciphers,
        log_format=_LOG,
        http=ports.http,
        https=ports.https,
    )
    return head + "".join(_sites(sites, ports, keepalive)) + "}\n"


def _sites(sites: Iterable[Site], ports: Ports, keepalive: int) -> Iterator[str]:
    for site in sites:
        servers = " ".join(f"server {address}:{PORT} max_fails=0;" for address in site.pods)
        yield _UPSTREAM.format(name=site.name, servers=servers, keepalive=keepalive)
        locations = "\n".join(f"        location {path} {{ proxy_pass http://{site.name}; }}" for path in PATHS)
        server = _SECURE_SERVER if site.secure else _SERVER
        yield server.format(http=ports.http, https=ports.https, host=site.host, locations=locations)
