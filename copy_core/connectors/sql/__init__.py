"""SQL databases: `dialect` modules are pure text, engine modules talk to a server."""
