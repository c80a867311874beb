"""The asyncio SDK for fleets of Enapter devices.

::

    async with Client(token="…") as client:
        device = await client.devices.update("dev-1", name="Hydrogen detector")

Start with `Client`; use `fleet` to apply one change to many devices.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from enapter_async._door import HOMES, public

if TYPE_CHECKING:
    from enapter_async import fleet
    from enapter_async._http.call import CallRecord
    from enapter_async._http.response import Response
    from enapter_async._http.retry import RetryPolicy
    from enapter_async._http.transport import Timeouts
    from enapter_async._version import __version__
    from enapter_async.api.packing import pack_blueprint
    from enapter_async.client import Client
    from enapter_async.clock import Clock
    from enapter_async.concealment import RawAnswer
    from enapter_async.errors import (
        AmbiguousOutcomeError,
        APIError,
        ArgumentError,
        Attempt,
        AuthenticationError,
        BadRequestError,
        CachedAnswerError,
        Certainty,
        ConfigurationError,
        ConflictError,
        DeadlineExceededError,
        EnapterError,
        ErrorDetail,
        HostDownError,
        NotFoundError,
        PermissionDeniedError,
        ProxyError,
        RateLimitedError,
        RedirectError,
        ResponseError,
        ResponseMismatchError,
        ResponseTooLargeError,
        ResultDiffersError,
        ResultLostError,
        ServerError,
        StillPendingError,
        StreamBrokenError,
        TLSError,
        TransportError,
        UnprocessableError,
    )
    from enapter_async.hooks import (
        AttemptFailed,
        AttemptPassed,
        AttemptStarted,
        CallEnded,
        CallStarted,
        Event,
        Hook,
        ReadBack,
        Waited,
        Waiting,
    )
    from enapter_async.limits.pacing import Pacing
    from enapter_async.models.blueprints import Blueprint, BlueprintName, BlueprintView
    from enapter_async.models.commands import (
        CommandRequest,
        CommandResponse,
        CommandResponseState,
        Execution,
        ExecutionsOrder,
        ExecutionState,
    )
    from enapter_async.models.configs import (
        CommunicationConfig,
        MQTTCredentials,
        MQTTProtocol,
        MQTTSCredentials,
        TimeSyncProtocol,
    )
    from enapter_async.models.configuration import ConfigurationValues
    from enapter_async.models.devices import (
        AccessRole,
        Communication,
        CommunicationType,
        Connectivity,
        ConnectivityStatus,
        Device,
        DeviceType,
    )
    from enapter_async.models.logs import (
        DeviceEvent,
        Gap,
        LogRecord,
        LogSeverity,
        LogsOrder,
        LogsShow,
    )
    from enapter_async.models.manifest import Manifest
    from enapter_async.models.provisioning import Provisioned
    from enapter_async.models.rules import (
        Rule,
        RuleEngine,
        RuleEngineState,
        RulePage,
        RuleRuntimeVersion,
        RuleScript,
        RuleState,
    )
    from enapter_async.models.sites import Site, SiteLocation
    from enapter_async.models.telemetry import (
        Aggregation,
        DataType,
        GapFilling,
        GapFillingMethod,
        TelemetryPoint,
        TelemetrySelector,
        Timeseries,
        TimeseriesColumn,
        TimeseriesRow,
    )
    from enapter_async.operation import (
        UNSET,
        WHOLE,
        Answer,
        Operation,
        Repeat,
        RequestParts,
        Settles,
        Target,
        Unset,
    )
    from enapter_async.operations.blueprints import (
        DownloadBlueprint,
        DownloadDeviceProfiles,
        GetBlueprint,
        GetBlueprintByName,
        UploadBlueprint,
        ValidateBlueprint,
    )
    from enapter_async.operations.commands import (
        CreateExecution,
        ExecuteCommand,
        GetExecution,
        ListExecutions,
    )
    from enapter_async.operations.configuration import (
        GetConfiguration,
        ResetConfiguration,
        UpdateConfiguration,
    )
    from enapter_async.operations.devices import (
        AssignBlueprint,
        DeleteDevice,
        GenerateConfig,
        GetDevice,
        GetManifest,
        ListDevices,
        UpdateDevice,
    )
    from enapter_async.operations.logs import ListLogs
    from enapter_async.operations.provisioning import (
        ProvisionLuaDevice,
        ProvisionStandalone,
        ProvisionUcm,
        ProvisionVucm,
    )
    from enapter_async.operations.rule_engine import (
        GetRuleEngine,
        ResumeRuleEngine,
        SuspendRuleEngine,
    )
    from enapter_async.operations.rules import (
        CreateRule,
        DeleteRule,
        DisableRule,
        EnableRule,
        GetRule,
        ListRules,
        RenameRule,
        UpdateRuleScript,
    )
    from enapter_async.operations.sites import (
        CreateSite,
        DeleteSite,
        GetSite,
        ListSites,
        UpdateSite,
    )
    from enapter_async.operations.telemetry import (
        GetDeviceTelemetry,
        GetLatestTelemetry,
        QueryTimeseries,
    )
    from enapter_async.payload import Payload
    from enapter_async.streaming import Reader, StreamedOperation

__all__ = [
    "UNSET",
    "WHOLE",
    "APIError",
    "AccessRole",
    "Aggregation",
    "AmbiguousOutcomeError",
    "Answer",
    "ArgumentError",
    "AssignBlueprint",
    "Attempt",
    "AttemptFailed",
    "AttemptPassed",
    "AttemptStarted",
    "AuthenticationError",
    "BadRequestError",
    "Blueprint",
    "BlueprintName",
    "BlueprintView",
    "CachedAnswerError",
    "CallEnded",
    "CallRecord",
    "CallStarted",
    "Certainty",
    "Client",
    "Clock",
    "CommandRequest",
    "CommandResponse",
    "CommandResponseState",
    "Communication",
    "CommunicationConfig",
    "CommunicationType",
    "ConfigurationError",
    "ConfigurationValues",
    "ConflictError",
    "Connectivity",
    "ConnectivityStatus",
    "CreateExecution",
    "CreateRule",
    "CreateSite",
    "DataType",
    "DeadlineExceededError",
    "DeleteDevice",
    "DeleteRule",
    "DeleteSite",
    "Device",
    "DeviceEvent",
    "DeviceType",
    "DisableRule",
    "DownloadBlueprint",
    "DownloadDeviceProfiles",
    "EnableRule",
    "EnapterError",
    "ErrorDetail",
    "Event",
    "ExecuteCommand",
    "Execution",
    "ExecutionState",
    "ExecutionsOrder",
    "Gap",
    "GapFilling",
    "GapFillingMethod",
    "GenerateConfig",
    "GetBlueprint",
    "GetBlueprintByName",
    "GetConfiguration",
    "GetDevice",
    "GetDeviceTelemetry",
    "GetExecution",
    "GetLatestTelemetry",
    "GetManifest",
    "GetRule",
    "GetRuleEngine",
    "GetSite",
    "Hook",
    "HostDownError",
    "ListDevices",
    "ListExecutions",
    "ListLogs",
    "ListRules",
    "ListSites",
    "LogRecord",
    "LogSeverity",
    "LogsOrder",
    "LogsShow",
    "MQTTCredentials",
    "MQTTProtocol",
    "MQTTSCredentials",
    "Manifest",
    "NotFoundError",
    "Operation",
    "Pacing",
    "Payload",
    "PermissionDeniedError",
    "ProvisionLuaDevice",
    "ProvisionStandalone",
    "ProvisionUcm",
    "ProvisionVucm",
    "Provisioned",
    "ProxyError",
    "QueryTimeseries",
    "RateLimitedError",
    "RawAnswer",
    "ReadBack",
    "Reader",
    "RedirectError",
    "RenameRule",
    "Repeat",
    "RequestParts",
    "ResetConfiguration",
    "Response",
    "ResponseError",
    "ResponseMismatchError",
    "ResponseTooLargeError",
    "ResultDiffersError",
    "ResultLostError",
    "ResumeRuleEngine",
    "RetryPolicy",
    "Rule",
    "RuleEngine",
    "RuleEngineState",
    "RulePage",
    "RuleRuntimeVersion",
    "RuleScript",
    "RuleState",
    "ServerError",
    "Settles",
    "Site",
    "SiteLocation",
    "StillPendingError",
    "StreamBrokenError",
    "StreamedOperation",
    "SuspendRuleEngine",
    "TLSError",
    "Target",
    "TelemetryPoint",
    "TelemetrySelector",
    "TimeSyncProtocol",
    "Timeouts",
    "Timeseries",
    "TimeseriesColumn",
    "TimeseriesRow",
    "TransportError",
    "UnprocessableError",
    "Unset",
    "UpdateConfiguration",
    "UpdateDevice",
    "UpdateRuleScript",
    "UpdateSite",
    "UploadBlueprint",
    "ValidateBlueprint",
    "Waited",
    "Waiting",
    "__version__",
    "fleet",
    "pack_blueprint",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import a name when it is first used.

        Once the package is installed, every run of pytest imports it for the pytest plugin, which
        must not import aiohttp; and a program should not wait for what it does not use.
        """
        if name == "fleet":
            return import_module("enapter_async.fleet")
        return globals().setdefault(name, public(__name__, HOMES, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
