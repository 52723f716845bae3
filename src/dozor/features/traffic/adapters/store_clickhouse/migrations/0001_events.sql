-- Requests, lines of error logs and lines that were neither; each insert carries a token and counts once.
-- Statements end with a semicolon at a line's end, and may be run again after a crash at any of them.

-- `raw` and `target` mostly repeat what other columns hold: `cut` is the line without them, `tail` is the
-- target behind its path (rows.py). Most texts of a log repeat, so that a dictionary makes them small and
-- quick to count. `batch` and `row` order what one millisecond holds.
CREATE TABLE IF NOT EXISTS requests
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    batch Int64 CODEC(ZSTD(1)),
    row UInt32 CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    line Int64 CODEC(Delta, ZSTD(1)),
    line_offset Int64 CODEC(Delta, ZSTD(1)),
    client String CODEC(ZSTD(1)),
    user LowCardinality(String),
    method LowCardinality(String),
    path LowCardinality(String),
    tail String CODEC(ZSTD(1)),
    protocol LowCardinality(String),
    status UInt16,
    bytes Int64 CODEC(T64, ZSTD(1)),
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
        '\x01', concat(path, tail)), '\x02', referer), '\x03', user_agent))
)
ENGINE = MergeTree
PARTITION BY toMonday(toDate32(ts))
ORDER BY (ts, batch, row)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS errors
(
    ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    batch Int64 CODEC(ZSTD(1)),
    row UInt32 CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    line Int64 CODEC(Delta, ZSTD(1)),
    line_offset Int64 CODEC(Delta, ZSTD(1)),
    level LowCardinality(String),
    pid Int64,
    tid Int64,
    connection Nullable(Int64),
    message String CODEC(ZSTD(1)),
    folded LowCardinality(String),
    client String,
    server LowCardinality(String),
    request String CODEC(ZSTD(1)),
    upstream LowCardinality(String),
    host LowCardinality(String),
    referrer String
)
ENGINE = MergeTree
PARTITION BY toMonday(toDate32(ts))
ORDER BY (ts, batch, row)
SETTINGS non_replicated_deduplication_window = 10000;

-- A line that is no request has no time of its own: `seen` is when it was stored.
CREATE TABLE IF NOT EXISTS rejects
(
    seen DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    batch Int64 CODEC(ZSTD(1)),
    row UInt32 CODEC(Delta, ZSTD(1)),
    source LowCardinality(String),
    line Int64,
    line_offset Int64,
    reason LowCardinality(String),
    raw String CODEC(ZSTD(1))
)
ENGINE = MergeTree
ORDER BY (seen, batch, row)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS sources
(
    source String,
    format LowCardinality(String),
    seen DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(seen)
ORDER BY source;
