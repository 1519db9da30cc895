"""The tables that telemetry arrives in, as far as our queries may use them.

In the workspace they have the names of
https://learn.microsoft.com/azure/azure-monitor/reference/tables-category#applications; Application
Insights shows the same rows under the older names and columns of
https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete.
"""

from __future__ import annotations

_NEW = "TimeGenerated: datetime, AppRoleName: string, AppRoleInstance: string, OperationId: string,"
_NEW += " ItemCount: int, Properties: dynamic, _BilledSize: real"
_OLD = "timestamp: datetime, cloud_RoleName: string, cloud_RoleInstance: string,"
_OLD += " operation_Id: string, itemType: string, itemCount: int, customDimensions: dynamic"

TABLES = {
    "AppMetrics": f"({_NEW}, Name: string, Sum: real, Min: real, Max: real)",
    "AppTraces": f"({_NEW}, Message: string, SeverityLevel: int)",
    "AppExceptions": f"({_NEW}, ExceptionType: string, OuterMessage: string, SeverityLevel: int)",
    "AppDependencies": f"({_NEW}, Name: string, DurationMs: real, Success: bool)",
    "AppRequests": f"({_NEW}, Name: string, DurationMs: real, Success: bool, ResultCode: string)",
    "customMetrics": f"({_OLD}, name: string, value: real, valueCount: int, valueSum: real,"
    " valueMin: real, valueMax: real)",
    "traces": f"({_OLD}, message: string, severityLevel: int)",
    "exceptions": f"({_OLD}, type: string, outerMessage: string, severityLevel: int)",
    "dependencies": f"({_OLD}, name: string, duration: real, success: string)",
    "requests": f"({_OLD}, name: string, duration: real, success: string, resultCode: string)",
}
"""Columns and their types in Kusto's words, by table."""
