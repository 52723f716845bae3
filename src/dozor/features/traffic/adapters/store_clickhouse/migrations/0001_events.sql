-- Requests, lines of error logs and lines that were neither; each insert carries a token and counts once.
-- What an insert has kept survives a power cut, since the file that was read is not read again.
-- Statements end with a semicolon at a line's end, and may be run again after a crash at any of them.

-- `raw` and `target` mostly repeat what other columns hold: `cut` is the line without them, `tail` is the
-- target behind its path (rows.py). Most texts of a log repeat, so that a dictionary makes them small and
-- quick to count. Distinct clients are counted by `client_key`, four times as quick as by their texts; that
-- two of a million clients share one has a chance of 1 in 30 million. `batch` and `row` order what one millisecond holds.
CREATE TABLE IF NOT EXISTS requests
(
    ts DateTime64(3, 'UTC') CODEC(Delta, LZ4),
    batch Int64,
    row UInt32 CODEC(Delta, LZ4),
    source LowCardinality(String),
    line Int64 CODEC(Delta, LZ4),
    line_offset Int64 CODEC(Delta, LZ4),
    client String,
    client_key UInt64 DEFAULT cityHash64(client) CODEC(NONE),
    user LowCardinality(String),
    method LowCardinality(String),
    path LowCardinality(String),
    tail String CODEC(ZSTD(1)),
    protocol LowCardinality(String),
    status UInt16,
    bytes Int64 CODEC(T64, LZ4),
    referer LowCardinality(String),
    user_agent LowCardinality(String),
    host LowCardinality(String),
    forwarded_for LowCardinality(String),
    request_time Nullable(Float32),
    upstream_time Nullable(Float32),
    country LowCardinality(String),
    is_bot Bool,
    ua_family LowCardinality(String),
    rules Array(LowCardinality(String)),
    classes Array(LowCardinality(String)),
    score Float32,
    evidence Array(Tuple(where String, decoded String, matched String, rule String)),
    cut String CODEC(ZSTD(1)),
    query String ALIAS substring(tail, 2),
    target String ALIAS concat(path, tail),
    raw String ALIAS if(startsWith(cut, '\0'), substring(cut, 2), replaceOne(replaceOne(replaceOne(cut,
        '\x01t', concat(path, tail)), '\x01r', referer), '\x01a', user_agent))
)
ENGINE = MergeTree
PARTITION BY toMonday(toDate32(ts))
ORDER BY (ts, batch, row)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1,
    min_bytes_for_wide_part = 67108864, enable_vertical_merge_algorithm = 0, index_granularity = 2048;

-- The requests that rules hit, once more: one in a hundred, so that questions about attacks read little.
CREATE TABLE IF NOT EXISTS hits AS requests;

CREATE TABLE IF NOT EXISTS errors
(
    ts DateTime64(3, 'UTC') CODEC(Delta, LZ4),
    batch Int64,
    row UInt32 CODEC(Delta, LZ4),
    source LowCardinality(String),
    line Int64 CODEC(Delta, LZ4),
    line_offset Int64 CODEC(Delta, LZ4),
    level LowCardinality(String),
    pid Int64,
    tid Int64,
    connection Nullable(Int64),
    message String,
    folded LowCardinality(String),
    client String,
    server LowCardinality(String),
    request String,
    upstream LowCardinality(String),
    host LowCardinality(String),
    referrer String
)
ENGINE = MergeTree
PARTITION BY toMonday(toDate32(ts))
ORDER BY (ts, batch, row)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

-- A line that is no request has no time of its own: `seen` is when it was stored.
CREATE TABLE IF NOT EXISTS rejects
(
    seen DateTime64(3, 'UTC') CODEC(Delta, LZ4),
    batch Int64,
    row UInt32 CODEC(Delta, LZ4),
    source LowCardinality(String),
    line Int64,
    line_offset Int64,
    reason LowCardinality(String),
    raw String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (seen, batch, row)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS sources
(
    source String,
    format LowCardinality(String),
    seen DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(seen)
ORDER BY source;
