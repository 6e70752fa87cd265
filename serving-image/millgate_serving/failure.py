"""Why the server or a preflight ends without serving: one CamelCase reason for a condition, and an exit code."""

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """What a Job's owner may conclude from the end of the process."""

    PASS = 0
    FAIL = 1
    CANNOT_TELL = 75  # EX_TEMPFAIL: nothing is known about the model, so nobody may blame it


class Reason(StrEnum):
    """The words shared with the operator's conditions where both can meet the same situation."""

    INVALID_CONFIGURATION = "InvalidConfiguration"
    SOURCE_NOT_SUPPORTED = "SourceNotSupported"
    REGISTRY_UNREACHABLE = "RegistryUnreachable"
    REGISTRY_HOST_REFUSED = "RegistryHostRefused"
    REGISTRY_UNAUTHORISED = "RegistryUnauthorised"
    REGISTRY_ERROR = "RegistryError"
    FETCH_DEADLINE_EXCEEDED = "FetchDeadlineExceeded"
    STORAGE_FAILED = "StorageFailed"
    MODEL_NOT_FOUND = "ModelNotFound"
    ARTIFACT_REFUSED = "ArtifactRefused"
    ARTIFACT_CHANGED = "ArtifactChanged"
    MODEL_UNREADABLE = "ModelUnreadable"
    FLAVOUR_NOT_SUPPORTED = "FlavourNotSupported"
    FLAVOUR_NOT_INSTALLED = "FlavourNotInstalled"
    CODE_EXECUTION_NOT_ALLOWED = "CodeExecutionNotAllowed"
    SIGNATURE_MISSING = "SignatureMissing"
    SIGNATURE_NOT_SUPPORTED = "SignatureNotSupported"
    SIGNATURE_MISMATCH = "SignatureMismatch"
    LOAD_FAILED = "LoadFailed"
    INPUT_EXAMPLE_FAILED = "InputExampleFailed"
    PROFILE_INVALID = "ProfileInvalid"
    CONSTRAINTS_INVALID = "ConstraintsInvalid"
    INTERNAL_ERROR = "InternalError"


_CANNOT_TELL = frozenset(
    {
        Reason.INVALID_CONFIGURATION,
        Reason.REGISTRY_UNREACHABLE,
        Reason.REGISTRY_HOST_REFUSED,
        Reason.REGISTRY_UNAUTHORISED,
        Reason.REGISTRY_ERROR,
        Reason.FETCH_DEADLINE_EXCEEDED,
        Reason.STORAGE_FAILED,
        Reason.INTERNAL_ERROR,
    }
)


class ServingError(Exception):
    """The model cannot be served. `reason` goes into a condition, `message` is a sentence for a person."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.CANNOT_TELL if self.reason in _CANNOT_TELL else ExitCode.FAIL
