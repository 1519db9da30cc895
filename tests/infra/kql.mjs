// Parses Kusto queries with Microsoft's own parser, and checks them against the tables that there are.
// Reads {"tables": {name: "(column: type, ...)"}, "queries": [text, ...]} from stdin, and writes what
// is wrong with each query: [{"line": 1, "message": "..."}, ...].
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.tools/kusto/", import.meta.url));
for (const script of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  require(`@kusto/language-service-next/${script}`);
}
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;

const { tables, queries } = JSON.parse(readFileSync(0, "utf8"));
// The numbers are the overloads that its declarations give.
const known = Object.entries(tables).map(
  ([name, columns]) => new Symbols.TableSymbol.$ctor7(name, columns, null),
);
const database = new Symbols.DatabaseSymbol.ctor("logs", known);
const globals = GlobalState.Default.WithDatabase(database);

function faults(query) {
  const found = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
  return Array.from({ length: found.Count }, (_, number) => {
    const { Message: message, Start: start } = found.getItem(number);
    return { line: query.slice(0, start).split("\n").length, message };
  });
}

process.stdout.write(JSON.stringify(queries.map(faults)));
