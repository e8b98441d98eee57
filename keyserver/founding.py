"""The work of `secagg keyserver init` and `serve`: from a directory and a file to a federation that answers."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from keyserver.authority import ROOT, Authority, found, load_authority
from keyserver.config import Configuration
from keyserver.directory import LOG, ROSTERS, Directory
from keyserver.service import KeyserverService
from secagg.crypto.rng import system_rng
from secagg.daemon import clock, config, logs, vault
from secagg.daemon.federation import BrokerSection, write_configuration
from secagg.daemon.process import run_daemon
from secagg.errors import BadConfiguration, BadInput
from secagg.ids import Name
from secagg.log.durable import TileLog
from secagg.transport.curve import key_text
from secagg.transport.link import KEYSERVER
from secagg.transport.zmq_link import ZmqLink


def begin(
    state_dir: Path,
    federation: str,
    passphrase_file: Path,
    config_out: Path,
    *,
    colluders: int | None,
    min_nodes: int,
    address: str,
    broker_key: str,
    delegation: str,
) -> dict[str, str]:
    """Found a federation and write its configuration; return what the operator passes on.

    Raises: BadInput for a name that is none; BadConfiguration when one of the files exists or is open to others.
    """
    try:
        msgspec.convert(federation, Name)
    except msgspec.ValidationError:
        raise BadInput(f"{federation!r} is no name.", "Use at most 64 of a-z, 0-9 and hyphen.") from None
    if config_out.exists():
        raise BadConfiguration(f"{config_out} exists already.", "Move it away, or choose another --config-out.")
    phrase = vault.passphrase(passphrase_file)
    expires = clock.wall() + int(config.duration(delegation))
    authority = found(state_dir, federation, phrase, expires, system_rng)
    limits: dict[str, object] = {} if colluders is None else {"colluders": colluders}
    sections: dict[str, dict[str, object]] = {
        "keyserver": {"state_dir": str(state_dir.resolve()), "passphrase_file": str(passphrase_file.resolve())},
        "federation": {"name": federation, "root_fingerprint": authority.root_fingerprint},
        "broker": {"address": address, "curve_key": broker_key},
        "limits": {**limits, "min_nodes": min_nodes},
    }
    write_configuration(config_out, sections)
    return {
        "federation": federation,
        "root_fingerprint": authority.root_fingerprint,
        "keyserver_curve_key": key_text(authority.curve_key),
        "root_key": str(state_dir / ROOT),
        "config": str(config_out),
    }


def write_broker(path: Path, address: str, told: Mapping[str, str]) -> None:
    """Write broker.toml for the federation that `begin` founded; `address` is how members dial the broker.

    Raises: BadConfiguration when the file exists or the address is none.
    """
    host, _, port = BrokerSection(address, "").addresses().control.removeprefix("tcp://").rpartition(":")
    # An address that is not this machine's alone was given so that others may dial it.
    listen = "127.0.0.1" if host in ("127.0.0.1", "localhost") else "0.0.0.0"  # noqa: S104
    named: dict[str, object] = {"name": told["federation"]}
    named |= {key: told[key] for key in ("root_fingerprint", "keyserver_curve_key")}
    own: dict[str, object] = {"state_dir": "broker", "listen": listen, "port": int(port)}
    sections = {"broker": own, "federation": named}
    write_configuration(path, sections)


def serve(configuration: Configuration, prompt: Callable[[], str], verbosity: int, *, color: bool) -> None:
    """Run the key server until it is stopped.

    Raises: BadConfiguration when the files do not belong together, or the root's word has run out.
    """
    settings, state_dir = configuration.settings(), configuration.state_dir
    vault.check_directory(state_dir)
    phrase = vault.passphrase(configuration.passphrase_file, prompt=prompt)
    authority = load_authority(state_dir, phrase)
    _check(authority, configuration)
    log = TileLog(state_dir / LOG, authority.origin, authority.origin, authority.online)
    directory = Directory(log, vault.private_directory(state_dir / ROSTERS))
    logger = logs.configure(KEYSERVER, authority.federation, verbosity, color=color)
    service = KeyserverService(authority, settings, directory, system_rng, logger)
    run_daemon(
        service,
        lambda: ZmqLink(settings.addresses, settings.broker_key, authority.curve),
        state_dir,
        authority.federation,
        KEYSERVER,
        verbosity=verbosity,
        color=color,
        federation=authority.federation,
    )


def _check(authority: Authority, configuration: Configuration) -> None:
    told = (configuration.federation.name, configuration.federation.root_fingerprint)
    if told != (authority.federation, authority.root_fingerprint):
        raise BadConfiguration(
            f"The keys are of {authority.federation} under root {authority.root_fingerprint}, the file names another.",
            "Correct [federation] or state_dir.",
            code="E-ROOT",
        )
    if clock.wall() >= authority.delegated_until:
        raise BadConfiguration(
            "The root's delegation to this key server has expired.", "Sign a new one with the offline root key."
        )
