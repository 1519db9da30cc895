"""The Azure Functions app: registers the blueprints, nothing else."""

import azure.durable_functions as df

from copy_core.runners.durable import blueprint

app = df.DFApp()
app.register_functions(blueprint)
