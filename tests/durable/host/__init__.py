"""A Functions host for tests: it runs the app's function_app.py on this machine.

The app meets what it meets on Azure: the real SDK (`azure-functions`, `azure-functions-durable`),
orchestrators that are replayed from their history, activities that may be delivered again, timers,
HTTP triggers behind keys, and the management API that the real durable client talks to. Only the
.NET host and its storage are replaced, by a few modules and a SQLite file:

* `events`: the history of an orchestration, event by event;
* `replay`: which tasks an orchestrator has asked for, from its history and its actions (pure);
* `sdk`: asks the SDK to replay an orchestrator, and holds it to determinism;
* `store`: instances, histories, queues, in SQLite;
* `inbox`: messages to orchestrations;
* `instances`: how an orchestration begins, asks for tasks, and ends;
* `limits`: messages that are too large, and what else must not happen;
* `engine`: moves orchestrations on, message by message;
* `activities`: runs activities at least once;
* `timers`: runs functions on their NCRONTAB schedule;
* `functions`: the app's functions, and how the Python worker calls them;
* `management`: the Durable HTTP API;
* `triggers`: HTTP triggers, keys and the admin API;
* `options`, `server`: all of it together.

`python -m tests.durable.host APPDIR --db FILE --port 0` starts one. It may be killed at any moment
and started again on the same file.

What the app does not use is left out: entities, external events, durable HTTP calls, retries by the
SDK, suspending, rewinding.
"""
