"""A small SQL tokeniser and the judgements that follow from it.

The question is not "does this look like SQL" but "would this text, pasted into a statement, change
what the statement means". A value is read three ways: as it stands, as the rest of a string begun
with ' and of one begun with " (up to the first such quote it is still inside). Each reading gives a
string with one letter per token, and each judgement is an expression on such strings, some with a
look at the tokens themselves:

    s  string        n  number, null, true, false       v  @variable     b  other word
    o  comparison    a  arithmetic, concatenation       &  and, or, xor  !  not
    U  union         E  word that begins a statement    k  other keyword
    f  known function before (                          g  other word before (
    c  comment to the end       ( ) , ; { } [ ]  themselves              ?  anything else

Names do not matter for grammar, so O'Brien ("s", then a word) stays what it is: a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

MAX_LENGTH = 4096
"""A longer text is judged by its first and its last bytes, this many of each."""

Token = tuple[str, str]
"""Letter and text, in lower case."""

_TOKEN = re.compile(
    r"""
    (?P<space>[\s\x00]+ | \*/ | /\*[!+]\d* | /\*.*?(?:\*/|(?P<open>$)))
  | (?P<comment>--(?:[^\r]*) | \#[^\r]*)
  | (?P<string>[nxbe]?'(?:[^'\\]|\\.|'')*(?:'|\\?$) | "(?:[^"\\]|\\.|"")*(?:"|\\?$))
  | (?P<number>0x[0-9a-f]+ | (?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?(?![a-z_0-9\x80-\xff])
     | \d+(?=(?:or|and|xor|union|div|like|from|having|order|group|limit)\b))
  | (?P<variable>@@?[\w$.]*)
  | (?P<word>`[^`]*(?:`|$) | [\w$\x80-\xff]+(?:\.[\w$\x80-\xff`]+)*)
  | (?P<operator><=> | ->> | -> | [<>!=]= | <> | := | :: | \|\| | && | <@ | @> | [-+*/%^~|&!=<>?])
  | (?P<punctuation>[(),;{}\[\]])
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOGIC = _words("and or xor having")
_COMPARISON = _words(
    "like rlike regexp glob sounds ilike similar in is isnull notnull between collate mod div"
)
_LITERAL = _words("null true false unknown")
_UNION = _words("union intersect")
_STATEMENT = _words(
    "select insert update delete drop alter create exec execute declare waitfor shutdown grant "
    "merge replace truncate call begin set print load handler"
)
_KEYWORD = _words(
    "all distinct distinctrow from where order group limit offset into outfile dumpfile by as join "
    "using values table database when then else end case procedure top for asc desc return"
)
_FUNCTION = _words(
    "abs ascii asciistr avg benchmark bin bit_length cast ceiling char char_length chr coalesce "
    "concat concat_ws conv convert count current_user database date_format db_name decode "
    "dbms_pipe.receive_message elt encode exists exp export_set extractvalue field find_in_set "
    "floor from_base64 generate_series get_lock greatest group_concat gtid_subset hex host_name "
    "if ifnull iif instr is_srvrolemember isnull json_extract json_keys last_insert_id ln load_file "
    "locate lower lpad ltrim make_set max md5 mid min mod name_const now nullif nvl object_id "
    "octet_length openrowset ord pg_sleep power quote rand randomblob rawtohex regexp_substring "
    "repeat replace reverse rlike round row row_count rpad rtrim schema schema_name session_user "
    "sha1 sign sleep space sqlite_version strcmp substr substring substring_index sum suser_name "
    "system_user sysdate sys_context sys_eval table_name to_base64 to_char trim unhex unicode "
    "updatexml upper user user_name utl_http.request utl_inaddr.get_host_address uuid version "
    "xmltype sqlite_compileoption_used likelihood unlikely likely glob nchar overlay starts_with"
)
_ARITHMETIC = frozenset(["+", "-", "*", "/", "%", "^", "~", "|", "&", "||"])


def tokenise(text: str) -> tuple[Token, ...]:
    """Tokens of `text`, comments inside dropped, a comment that reaches the end kept as `c`.

    A word that begins a statement, a function or the like gets its letter by its name; any other
    word before a parenthesis is `g`.
    """
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        found = match[0].lower()
        if match["open"] is not None:
            tokens.append(("c", found))
        elif kind != "space":
            tokens.append((_letter(kind or "other", found), found))
    return tuple(_with_functions(tokens))


def _letter(kind: str, found: str) -> str:
    match kind:
        case "word":
            return _word_letter(found)
        case "operator":
            return _operator_letter(found)
        case "punctuation":
            return found
        case "comment" | "string" | "number" | "variable":
            return {"comment": "c", "string": "s", "number": "n", "variable": "v"}[kind]
    return "?"


def _word_letter(word: str) -> str:
    for letter, words in (
        ("&", _LOGIC),
        ("!", ("not",)),
        ("o", _COMPARISON),
        ("n", _LITERAL),
        ("U", _UNION),
        ("E", _STATEMENT),
        ("k", _KEYWORD),
    ):
        if word in words:
            return letter
    return "b"


def _operator_letter(operator: str) -> str:
    if operator == "&&":
        return "&"
    if operator == "!":
        return "!"
    if operator in _ARITHMETIC:
        return "a"
    return "?" if operator == "?" else "o"


def _with_functions(tokens: list[Token]) -> list[Token]:
    for position, (letter, text) in enumerate(tokens[:-1]):
        if tokens[position + 1][0] == "(" and text.replace(".", "_").isidentifier():
            if text in _FUNCTION:
                tokens[position] = ("f", text)
            elif letter == "b":
                tokens[position] = ("g", text)
    return tokens


_END = r"[);]*(?:c|$)"
_CLOSED = r"^s\)*"

_SELECT = re.compile(r"E(?:k*)(?:[fg]\(|\(|[nsva]|b(?:o|,|kb(?:c|;|,|\)|kb?o|k\(|k[bn]|$)|a)|$|[);]*c)")
_UNION_SELECT = re.compile(r"Uk*\(*E(?:k*)(?:[fgnsva(c,)]|b[,ac(]|b?kb|$|\(|\))")

_QUOTED_LOGIC = re.compile(
    rf"{_CLOSED}(?:[aok].*?)?&[!(a]*(?:[fg]\(|\(*E|[snvb]a?o|[sn](?:[);]*c|$|&|\))|v|b[);]*c|\?[);]*c)"
)
_QUOTED_OPERATOR = re.compile(rf"{_CLOSED}(?:a|o)+!?\(*(?:s(?:$|[);]*c)|[nbv][);]*c|E|f\(|[nb]?[oa]+s$|v)")
_QUOTED_TAIL = re.compile(rf"{_CLOSED};?[);]*c$")
_QUOTED_CLAUSE = re.compile(
    rf"{_CLOSED}(?:k?k[nbsfv(].*c$|k*b?k[ns(]o|k*kE|kk\(?g?f?\(|kbo?[ns]|kbk[nsb]o|obk?b?\))"
)
_NUMBER_CLAUSE = re.compile(r"^an?\)*kkn|^a?n\)*(?:kk[nbf].{0,20}c$|kkn|kn$|knc|k[bnfg(]*o|kbk[ns]o|kg\()")
_NUMBER_LOGIC = re.compile(
    r"^[ab]?[a(]*[nsv]\)*(?:c)?(?:[oa].*?)?&[!(a]*(?:f\(|\(*E|\(*case|[nsv]\)*[oa]|s$|n[);]*c|[gb]\(?.{0,12}?o[nsvE(f]|v|b(?:$|c))"
)
_NUMBER_TAIL = re.compile(r"^a?n\)+;?c$")
_EQUATION = re.compile(r"^\(*(?:n!?on|so[sn]|nos)\)*(?:c|$)")
_STACKED = re.compile(r"(?:^|[^;]);+\(*(?P<statement>E|k|f|g|b)")


def _tautology(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    """Whether a condition is joined on that the statement's author did not write."""
    if quoted:
        return bool(_QUOTED_LOGIC.search(shape))
    if _NUMBER_LOGIC.search(shape) and not _plain_numbers(shape):
        return True
    return any(_same_or_literal(shape, tokens, at) for at in range(len(shape)) if shape[at] == "&")


def _plain_numbers(shape: str) -> bool:
    """`1 or 2 persons`, `2 and b`: a number, a joining word, and nothing that is compared."""
    return (not re.search(r"[oscvf(E]", shape) and shape[-1:] != "n") or shape in ("n&n", "n&b")


def _same_or_literal(shape: str, tokens: tuple[Token, ...], at: int) -> bool:
    """`or 1=1`, `or x=x`, `and sleep(5)`: what follows the joining word cannot be prose."""
    follows = re.match(r"[!(]*(?:(?P<left>[nsvb])(?P<op>o)[a!(]*(?P<right>[nsvbf]))", shape[at + 1 :])
    if follows is None:
        return False
    left, right = at + 1 + follows.start("left"), at + 1 + follows.start("right")
    operator = tokens[at + 1 + follows.start("op")][1]
    if shape[left] == "b" and shape[right] == "b":
        return tokens[left][1] == tokens[right][1] and operator == "="
    if shape[left] in "nsv" and shape[right] in "nsvf":
        return True
    return shape[right] == "s" and operator in ("=", "!=", "<>", "like", "in")


def _union(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    del tokens, quoted
    return bool(_UNION_SELECT.search(shape))


def _statement(shape: str, tokens: tuple[Token, ...], at: int) -> bool:
    """Whether a statement begins at token `at`, by its second word and what is around it."""
    word = tokens[at][1]
    if word == "select":
        return bool(_SELECT.match(shape, at))
    if word == "grant":
        return any(text in ("to", "on") for _, text in tokens[at:])
    second = tokens[at + 1][1] if at + 1 < len(tokens) else ""
    expected = _SECOND_WORDS.get(word)
    if expected is not None and expected.match(second):
        return True
    follows = _SHAPES_AFTER.get(word)
    return follows is not None and bool(follows.match(shape, at + 1))


_OBJECTS = re.compile(
    r"(?:table|database|view|function|procedure|user|schema|column|index|trigger|login|role|or)$"
)

_SECOND_WORDS = {
    "insert": re.compile(r"into$"),
    "merge": re.compile(r"into$"),
    "replace": re.compile(r"into$"),
    "drop": _OBJECTS,
    "alter": _OBJECTS,
    "create": _OBJECTS,
    "truncate": _OBJECTS,
    "exec": re.compile(r"xp_|sp_|master|immediate|@"),
    "execute": re.compile(r"xp_|sp_|master|immediate|@"),
    "waitfor": re.compile(r"(?:delay|time)$"),
    "load": re.compile(r"(?:data|load_file)$"),
}
"""What the word after a statement's first word is."""

_SHAPES_AFTER = {
    "delete": re.compile(r"kb"),
    "update": re.compile(r"bEbo"),
    "drop": re.compile(r"b[;)]*c"),
    "alter": re.compile(r"b[;)]*c"),
    "create": re.compile(r"b[;)]*c"),
    "truncate": re.compile(r"b[;)]*c"),
    "exec": re.compile(r"\(?[sv]"),
    "execute": re.compile(r"\(?[sv]"),
    "declare": re.compile(r"v"),
    "set": re.compile(r"v"),
    "print": re.compile(r"[vs]"),
    "shutdown": re.compile(r"[c;]|$"),
    "call": re.compile(r"[gf]"),
    "begin": re.compile(r"[Egb]"),
}
"""The shape of what follows a statement's first word."""


def _stacked(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    """Whether a second statement follows a semicolon (or closes a string and then begins)."""
    for match in _STACKED.finditer(shape):
        at = match.start("statement")
        letter = shape[at]
        if letter == "E" and _statement(shape, tokens, at):
            return True
        if letter == "f" and tokens[at][1] in ("if", "iif"):
            return True
        if letter == "k" and tokens[at][1] in ("if", "case"):
            return True
    return quoted and bool(re.match(r"^s[);]*E", shape)) and _statement(shape, tokens, shape.index("E"))


def _bare(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    """Whether a whole statement stands there by itself, as in a console that takes SQL."""
    if quoted:
        return False
    start = re.match(r"[;()]*E", shape)
    if start is None:
        return False
    at = start.end() - 1
    if not _statement(shape, tokens, at):
        return False
    if tokens[at][1] != "select":
        return tokens[at][1] in ("declare", "waitfor", "exec", "execute") or bool(re.search(r"[(;c]", shape))
    return bool(re.search(r"[fg(nva,co]", shape[at:]))


def _subselect(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    del quoted
    return any(
        tokens[match.end() - 1][1] == "select" and bool(_SELECT.match(shape, match.end() - 1))
        for match in re.finditer(r"\(E", shape)
    )


def _clause(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    """Whether a clause is added: order by, group by, limit, where, procedure, into outfile."""
    del tokens
    return bool((_QUOTED_CLAUSE if quoted else _NUMBER_CLAUSE).search(shape))


def _operator(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    """Whether a string is closed and at once compared or joined: '||', '=', ' like '%."""
    del tokens
    return quoted and bool(_QUOTED_OPERATOR.search(shape))


def _tail(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    """Whether a string or a bracket is closed and the rest of the statement commented out."""
    del tokens
    return bool((_QUOTED_TAIL if quoted else _NUMBER_TAIL).search(shape))


def _equation(shape: str, tokens: tuple[Token, ...], *, quoted: bool) -> bool:
    """Whether the value is nothing but a comparison of constants."""
    if quoted or not _EQUATION.search(shape):
        return False
    operator = next((text for letter, text in tokens if letter == "o"), "")
    return operator not in ("<", ">", "is", "in")


_JUDGEMENTS: dict[str, Callable[..., bool]] = {
    "bare": _bare,
    "clause": _clause,
    "equation": _equation,
    "operator": _operator,
    "stacked": _stacked,
    "subselect": _subselect,
    "tail": _tail,
    "tautology": _tautology,
    "union": _union,
}

JUDGEMENTS = frozenset(_JUDGEMENTS)
"""Names that a rule may ask for (`sql: union`)."""


@lru_cache(maxsize=512)
def judge(text: str) -> frozenset[str]:
    """The judgements that hold for a decoded value, in any of its three readings.

    Args:
        text: Decoded value, one character per byte (latin-1), so that nothing can fail to decode.
    """
    if len(text) > 2 * MAX_LENGTH:
        return judge(text[:MAX_LENGTH]) | judge(text[-MAX_LENGTH:])
    held: set[str] = set()
    for quoted, reading in _readings(text):
        tokens = tokenise(reading)
        shape = "".join(letter for letter, _ in tokens)
        held.update(name for name, holds in _JUDGEMENTS.items() if holds(shape, tokens, quoted=quoted))
    return frozenset(held)


def _readings(text: str) -> list[tuple[bool, str]]:
    readings = [(False, text)]
    for quote in "'\"":
        inside, found, rest = text.partition(quote)
        if found:
            # What stands before the quote was inside the statement's own string: a string token.
            readings.append((True, f"{quote}{_SAFE.sub('', inside)}{quote} {rest}"))
    return readings


_SAFE = re.compile(r"['\"\\]")
