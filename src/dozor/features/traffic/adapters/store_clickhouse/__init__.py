"""The store on ClickHouse, embedded or behind a URL."""

from dozor.features.traffic.adapters.store_clickhouse.store import ClickHouseStore, open_store

__all__ = ["ClickHouseStore", "open_store"]
