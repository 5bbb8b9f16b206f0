"""`gateway-operator join`: makes another cluster a member, or gives a member a new credential.

Run again it rotates: the new token is proven and taken up before the old one is taken back, so no request notices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gateway_operator.clusters import joining
from gateway_operator.clusters.joining import JoinFailed, Token, Wish
from gateway_operator.commands.operators import operators
from gateway_operator.commands.output import progress, say, say_json
from gateway_operator.commands.session import Session
from gateway_operator.crds.member import NAME
from gateway_operator.errors import ApiError, ConfigError, Unavailable
from gateway_operator.kube import Api

_MAX_NAME = 63


@dataclass(frozen=True)
class Options:
    """What the command line says; `kubeconfig` and `context` lead to the member."""

    name: str
    kubeconfig: Path
    context: str | None
    member_namespace: str
    server: str | None
    region: str
    zone: str
    network: str
    timeout: float
    keep_old: bool
    dry_run: bool


async def run(session: Session, options: Options) -> int:
    """Join or rotate; returns the exit code."""
    if not re.fullmatch(NAME, options.name) or len(options.name) > _MAX_NAME:
        raise ConfigError(f"{options.name!r} can't be a member's name: use a DNS label, as wuhan")
    member = await Api.connect(options.kubeconfig, options.context)
    try:
        async with session.connected() as centre:
            wish = _wish(member, await _home(centre, session), options)
            if options.dry_run:
                return await _tell(session, member, wish)
            return await _join(session, member, centre, wish, options)
    finally:
        await member.close()


async def _home(centre: Api, session: Session) -> str:
    """Return the operator's namespace."""
    if session.namespace:
        return session.namespace
    found = await operators(centre)
    if len(found) == 1:
        return found[0].namespace
    text = "no operator is installed" if not found else "there are several operators"
    raise ConfigError(f"{text}: name the namespace for the kubeconfig with -n")


def _wish(member: Api, namespace: str, options: Options) -> Wish:
    configuration = member.connection.configuration
    ca = Path(configuration.ssl_ca_cert).read_text(encoding="ascii") if configuration.ssl_ca_cert else None
    return Wish(
        name=options.name,
        namespace=namespace,
        member_namespace=options.member_namespace,
        server=(options.server or member.connection.host).rstrip("/"),
        ca=None if options.server else ca,
        server_name=None if options.server else configuration.tls_server_name,
        region=options.region,
        zone=options.zone,
        network=options.network,
    )


async def _tell(session: Session, member: Api, wish: Wish) -> int:
    """Say what would be done."""
    old = await joining.older_tokens(member, wish)
    objects = [*joining.account_objects(wish.member_namespace), *joining.centre_objects(wish, b"")]
    lines = [
        f"{o['kind']} {o['metadata'].get('namespace', '')}/{o['metadata']['name']}".replace(" /", " ") for o in objects
    ]
    if session.json:
        say_json({"dryRun": True, "member": wish.server, "objects": lines, "revoked": old})
        return 0
    say(f"in the member ({wish.server}), to read Services and EndpointSlices and nothing else:")
    for line in [*lines[:-2], f"a token in a Secret of {wish.member_namespace}"]:
        say(f"  {line}")
    say("in the centre:")
    for line in lines[-2:]:
        say(f"  {line}")
    say(f"tokens that would be taken back afterwards: {', '.join(old) or 'none'}")
    return 0


async def _join(session: Session, member: Api, centre: Api, wish: Wish, options: Options) -> int:
    progress(f"account {joining.ACCOUNT} in {wish.server}")
    await joining.apply_all(member, joining.account_objects(wish.member_namespace))
    token = await joining.issue(member, wish)
    try:
        version = await joining.prove(token)
        progress(f"the new credential works; the member runs {version}")
        await joining.apply_all(centre, joining.centre_objects(wish, token.text))
    except (JoinFailed, ApiError) as error:
        if not isinstance(error, Unavailable):  # then it may have been written all the same
            await joining.revoke(member, wish, token.secret)
        raise
    revoked, why = await _settle(member, centre, wish, options, token)
    if session.json:
        say_json({"member": wish.name, "version": version, "inUse": not why, "why": why, "revoked": revoked})
    elif why:
        say(f"{wish.name} is joined, but the operator doesn't use the credential yet: {why}")
    else:
        say(f"{wish.name} is joined, and the operator is connected to it")
    return 1 if why and options.timeout else 0


async def _settle(member: Api, centre: Api, wish: Wish, options: Options, token: Token) -> tuple[list[str], str]:
    """Wait for the operator and take old tokens back; returns those, and why the operator didn't follow."""
    old = await joining.older_tokens(member, wish, token.secret)
    why = await joining.taken_up(centre, wish, token.digest, options.timeout)
    if why or options.keep_old:
        if old:
            progress(f"old tokens stay: {', '.join(old)}")
        return [], why
    for name in old:
        await joining.revoke(member, wish, name)
    if old:
        progress(f"{len(old)} old token(s) taken back")
    return old, why
