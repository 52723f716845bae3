"""What can go wrong, sorted by what the reader should do.

    DozorError                every expected failure: shown as one line, never a traceback
      UsageError              the words of the call are wrong; change them (exit code 2)
        SettingsError         a setting holds a bad value; change it (exit code 2)
      JobError                the job could not be done; see the hint (exit code 1)
        UnavailableError      something outside is away for now; try again later
      CancelledError          somebody called the job off

Anything else is a bug and may show a traceback in the log.
"""


class DozorError(Exception):
    """An expected failure that names the thing, the fact and the way out.

    Args:
        message: What failed and why, one line, already translated.
        hint: What the reader can do about it, one line, already translated.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(DozorError):
    """The call itself is wrong: an unknown field, a malformed date, a bad format string."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting holds a value that cannot be used."""


class JobError(DozorError):
    """The call was right but the job failed: a file vanished, an archive is cut short."""


class UnavailableError(JobError):
    """Something outside does not answer for now, such as the store or a full disk: wait and try again."""


class CancelledError(DozorError):
    """Nobody wants the answer any more: stop, tell nobody, leave nothing behind."""
