"""Look up networks that a user names by text, id, architecture, record, solution, tier or answer."""

from collections.abc import Iterable

from surrogate_nas.architecture.architecture import Architecture
from surrogate_nas.archive.record import Group, Record
from surrogate_nas.foundation.errors import InputError
from surrogate_nas.study.home import Home
from surrogate_nas.study.results import Answer, Solution, Tier

Network = str | Architecture | Record | Solution | Tier | Answer
"""A network: the text or vector of an encoding, an `Architecture`, the id of a record or the beginning of one, or a
result that belongs to a network."""
LOOKED_UP: tuple[Group, ...] = ("search", "final", "baseline")
"""Groups of records in the order in which the training of an architecture is looked up."""
ALLOWED = "an encoding's text, the id of a record, an Architecture, Record, Solution, Tier or Answer"


def architectures_of(home: Home, networks: Network | Iterable[Network]) -> list[Architecture]:
    """The architectures of one network or of several. An `Architecture` need not be in the study's space.

    Raises:
        InputError: for a text that is not an encoding of the space, or a value that is not a network.
    """
    return [architecture_of(home, network) for network in as_list(networks)]


def as_list(networks: Network | Iterable[Network]) -> list[Network]:
    """One network or several as a list; raises `InputError` for anything else."""
    if isinstance(networks, Network):
        return [networks]
    try:
        return list(networks)
    except TypeError:
        raise InputError(f"{networks!r} is not a network or a list of networks; allowed: {ALLOWED}") from None


def architecture_of(home: Home, network: Network) -> Architecture:
    """The architecture of a network; raises as `architectures_of`."""
    match network:
        case Architecture():
            return network
        case str() if _is_encoding(network):
            return home.space.parse(network)
        case Answer():
            return home.space.parse(network.encoding)
        case _:
            return record_of(home, network).architecture


def record_of(home: Home, network: Network) -> Record:
    """The record of a trained network; for an architecture, its first successful training, in order of `LOOKED_UP`.

    Raises:
        InputError: if there is no such record, or the architecture has not been trained.
    """
    match network:
        case Record():
            return network
        case Solution():
            return network.record
        case Tier():
            return network.solution.record
        case Answer():
            return _trained(home, home.space.parse(network.encoding))
        case Architecture():
            return _trained(home, network)
        case str() if _is_encoding(network):
            return _trained(home, home.space.parse(network))
        case str():
            return home.archive.find(network)
        case _:
            raise InputError(f"{network!r} is not a network; allowed: {ALLOWED}")


def _is_encoding(text: str) -> bool:
    """Whether a text is an encoding, not an id: ids have none of these characters, and every encoding has some."""
    return any(sign in text for sign in "-/,[")


def _trained(home: Home, architecture: Architecture) -> Record:
    records = (r for group in LOOKED_UP for r in home.archive.records(group))
    record = next((r for r in records if r.architecture == architecture and r.failure is None), None)
    if record is None:
        raise InputError(f"{architecture} has not been trained in {home.path}; train it first with collect")
    return record
