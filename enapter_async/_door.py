"""Where the public names are defined, and their import when they are first used."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

HOMES: Final[Mapping[str, str]] = {
    "": "fleet",
    "_http.call": "CallRecord",
    "_http.response": "Response",
    "_http.retry": "RetryPolicy",
    "_http.transport": "Timeouts",
    "_version": "__version__",
    "api.packing": "pack_blueprint",
    "client": "Client",
    "clock": "Clock",
    "concealment": "RawAnswer",
    "errors": (
        "APIError AmbiguousOutcomeError ArgumentError Attempt AuthenticationError "
        "BadRequestError CachedAnswerError Certainty ConfigurationError "
        "ConflictError DeadlineExceededError EnapterError ErrorDetail HostDownError "
        "NotFoundError PermissionDeniedError ProxyError RateLimitedError "
        "RedirectError ResponseError ResponseMismatchError ResponseTooLargeError "
        "ResultDiffersError ResultLostError ServerError StillPendingError "
        "StreamBrokenError TLSError TransportError UnprocessableError"
    ),
    "hooks": (
        "AttemptFailed AttemptPassed AttemptStarted CallEnded CallStarted Event "
        "Hook ReadBack Waited Waiting"
    ),
    "limits.pacing": "Pacing",
    "models.blueprints": "Blueprint BlueprintName BlueprintView",
    "models.commands": (
        "CommandRequest CommandResponse CommandResponseState Execution "
        "ExecutionState ExecutionsOrder"
    ),
    "models.configs": (
        "CommunicationConfig MQTTCredentials MQTTProtocol MQTTSCredentials TimeSyncProtocol"
    ),
    "models.configuration": "ConfigurationValues",
    "models.devices": (
        "AccessRole Communication CommunicationType Connectivity ConnectivityStatus "
        "Device DeviceType"
    ),
    "models.logs": "DeviceEvent Gap LogRecord LogSeverity LogsOrder LogsShow",
    "models.manifest": "Manifest",
    "models.provisioning": "Provisioned",
    "models.rules": (
        "Rule RuleEngine RuleEngineState RulePage RuleRuntimeVersion RuleScript RuleState"
    ),
    "models.sites": "Site SiteLocation",
    "models.telemetry": (
        "Aggregation DataType GapFilling GapFillingMethod TelemetryPoint "
        "TelemetrySelector Timeseries TimeseriesColumn TimeseriesRow"
    ),
    "operation": "Answer Operation Repeat RequestParts Settles Target UNSET Unset WHOLE",
    "operations.blueprints": (
        "DownloadBlueprint DownloadDeviceProfiles GetBlueprint GetBlueprintByName "
        "UploadBlueprint ValidateBlueprint"
    ),
    "operations.commands": "CreateExecution ExecuteCommand GetExecution ListExecutions",
    "operations.configuration": "GetConfiguration ResetConfiguration UpdateConfiguration",
    "operations.devices": (
        "AssignBlueprint DeleteDevice GenerateConfig GetDevice GetManifest ListDevices UpdateDevice"
    ),
    "operations.logs": "ListLogs",
    "operations.provisioning": "ProvisionLuaDevice ProvisionStandalone ProvisionUcm ProvisionVucm",
    "operations.rule_engine": "GetRuleEngine ResumeRuleEngine SuspendRuleEngine",
    "operations.rules": (
        "CreateRule DeleteRule DisableRule EnableRule GetRule ListRules RenameRule UpdateRuleScript"
    ),
    "operations.sites": "CreateSite DeleteSite GetSite ListSites UpdateSite",
    "operations.telemetry": "GetDeviceTelemetry GetLatestTelemetry QueryTimeseries",
    "payload": "Payload",
    "streaming": "Reader StreamedOperation",
}
"""The modules that define the names of `enapter_async`, each with its names; "" for packages."""


def lazy(
    door: str, homes: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__all__`, `__getattr__` and `__dir__` of the package `door`, whose names are lazy.

    Each name is imported when it is first used. Once the package is installed, every run of pytest
    imports it for the pytest plugin, which must not import aiohttp; and a program should not wait
    for what it does not use.
    """
    names = sorted(name for home in homes.values() for name in home.split())
    package = vars(sys.modules[door])

    def get(name: str) -> Any:
        for home, its_names in homes.items():
            if name in its_names.split():
                found = import_module(f"enapter_async.{home or name}")
                return package.setdefault(name, getattr(found, name) if home else found)
        raise AttributeError(f"module {door!r} has no attribute {name!r}")

    return names, get, lambda: sorted({*package, *names})
