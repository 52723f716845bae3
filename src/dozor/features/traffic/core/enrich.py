"""Enrich: what the addresses and agents of a batch say about the requests.

Columnar. A batch of 100,000 lines has some 20,000 distinct clients and 300 distinct agents, most of
which came in earlier batches: what is known of them is looked up, the work is done for the new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from dozor.columns.batches import column_to_arrow
from dozor.columns.memory import UNKNOWN, Codes, ValueMemory
from dozor.columns.record import ENRICH_COLUMNS, PARSED
from dozor.features.traffic.core.addresses import Network, forwarded_clients, in_networks, normal_addresses
from dozor.features.traffic.core.agents import Agent, describe_agents
from dozor.features.traffic.ports import Country

Value = TypeVar("Value")

_REMEMBERED_CLIENTS = 1 << 17
_REMEMBERED_AGENTS = 1 << 14


class _Encoded(NamedTuple):
    """A text column as its values, mostly distinct, and the place of each row's value among them."""

    values: pl.Series
    codes: pl.Series

    def spread(self, values: pl.Series) -> pl.Series:
        """Repeat one result for each of the values over the rows."""
        return values.gather(self.codes)


class Enricher:
    """Puts `client` in normal form, finds the real client behind proxies, adds country and agent columns.

    The result depends on the batch alone; what is remembered of clients and agents saves time. Safe
    for threads.

    Args:
        country: Looks up the countries of the distinct clients.
        trusted_proxies: Networks whose `X-Forwarded-For` is believed; none means that the peer is
            the client.
    """

    def __init__(self, country: Country, trusted_proxies: Sequence[Network] = ()) -> None:
        self._country = country
        self._trusted_proxies = trusted_proxies
        self._client_memory = ValueMemory(_REMEMBERED_CLIENTS)
        self._agent_memory = ValueMemory(_REMEMBERED_AGENTS)
        self._countries: _Numbers[str] = _Numbers()
        self._agents: _Numbers[Agent] = _Numbers()

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch (rows of `columns.record.PARSED`) with `record.ENRICH_COLUMNS` added."""
        clients, countries = self._clients(batch)
        agents = self._describe(pl.Series(batch.column("user_agent")))
        if clients is not None:
            place = batch.schema.get_field_index("client")
            client = column_to_arrow(clients, pa.string_view())
            batch = batch.set_column(place, PARSED.field("client"), client)
        known = self._agents.values
        added = [
            _spread(self._countries.values, pa.string(), countries),
            _spread([agent.is_program for agent in known], pa.bool_(), agents),
            _spread([agent.family for agent in known], pa.string(), agents),
        ]
        for field, column in zip(ENRICH_COLUMNS, added, strict=True):
            batch = batch.append_column(field, column)
        return batch

    def _clients(self, batch: pa.RecordBatch) -> tuple[pl.Series | None, Codes]:
        """The clients, None where all stay as they are, and the numbers of their countries."""
        if self._trusted_proxies:
            clients = _clients_behind(batch, self._trusted_proxies)
            return clients.spread(clients.values), self._look_up(clients.values)[clients.codes.to_numpy()]
        peers = pl.Series(batch.column("client"))
        hashes = self._client_memory.hashes(peers)
        codes = self._client_memory.recall(hashes)
        new = np.flatnonzero(codes == UNKNOWN)
        changed = None
        if len(new):
            fresh = _encode(column_to_arrow(peers.gather(new), pa.string_view()))
            normal = normal_addresses(fresh.values).fill_null(fresh.values)
            numbers = self._look_up(normal)
            places = fresh.codes.to_numpy()
            codes[new] = numbers[places]
            same = (normal == fresh.values).to_numpy()
            self._client_memory.remember(hashes[new[same[places]]], codes[new[same[places]]])
            if not same.all():
                changed = peers.clone().scatter(new, fresh.spread(normal))
        return changed, codes

    def _look_up(self, clients: pl.Series) -> Codes:
        countries = self._country.countries(column_to_arrow(clients, pa.string_view()))
        return self._countries.of(countries.to_pylist())

    def _describe(self, agents: pl.Series) -> Codes:
        """The number of each agent's description among `self._agents`."""
        hashes = self._agent_memory.hashes(agents)
        codes = self._agent_memory.recall(hashes)
        new = np.flatnonzero(codes == UNKNOWN)
        if len(new):
            fresh = _encode(column_to_arrow(agents.gather(new), pa.string_view()))
            described = describe_agents(fresh.values)
            numbers = self._agents.of([Agent(*row) for row in described.iter_rows()])
            codes[new] = numbers[fresh.codes.to_numpy()]
            self._agent_memory.remember(hashes[new], codes[new])
        return codes


def enrich(
    batch: pa.RecordBatch, *, country: Country, trusted_proxies: Sequence[Network] = ()
) -> pa.RecordBatch:
    """Enrich one batch; see `Enricher`, which remembers for the next one."""
    return Enricher(country, trusted_proxies)(batch)


class _Numbers(Generic[Value]):
    """Numbers distinct values in the order of their coming; there are few, and none is forgotten."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._number: dict[Value, int] = {}
        self._lock = Lock()

    def of(self, values: Sequence[Value]) -> Codes:
        with self._lock:
            for value in values:
                if value not in self._number:
                    self._number[value] = len(self.values)
                    self.values.append(value)
            return np.array([self._number[value] for value in values], np.int32)


def _spread(values: Sequence[object], kind: pa.DataType, codes: Codes) -> pa.Array:
    return pa.array(values, kind).take(pa.array(codes))


def _encode(column: pa.Array) -> _Encoded:
    encoded = column.dictionary_encode()
    return _Encoded(pl.Series(encoded.dictionary), pl.Series(encoded.indices))


def _clients_behind(batch: pa.RecordBatch, trusted_proxies: Sequence[Network]) -> _Encoded:
    """The clients in normal form; what is no address (a host name, `unix:`) stays as it is."""
    peers = _encode(batch.column("client"))
    addresses = normal_addresses(peers.values)
    clients = _Encoded(addresses.fill_null(peers.values), peers.codes)
    trusted = in_networks(addresses, trusted_proxies)
    if not trusted.any():
        return clients
    return _behind_proxies(clients, peers.spread(trusted), batch.column("forwarded_for"), trusted_proxies)


def _behind_proxies(
    peers: _Encoded, trusted: pl.Series, headers: pa.Array, trusted_proxies: Sequence[Network]
) -> _Encoded:
    """Replace each trusted peer by the client that its header vouches for, if there is one."""
    chains = _encode(headers)
    clients = forwarded_clients(chains.values, trusted_proxies)
    known = trusted & chains.spread(clients.is_not_null())
    codes = pl.select(pl.when(known).then(chains.codes + len(peers.values)).otherwise(peers.codes))
    return _Encoded(pl.concat([peers.values, clients.fill_null("")]), codes.to_series())
