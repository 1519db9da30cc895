"""The HTTP API: the same under `copyjob serve` and on Azure. Imported when it is first asked."""
