// The table as a file.
function saveCsv(name, rows) {
  const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const guard = (cell) => (typeof cell === "string" && /^(\s*[=+\-@＝＋－＠]|[\t\r\n])/.test(cell) ? `'${cell}` : String(cell ?? "")); // no formula
  const text = rows.map((row) => row.map((cell) => quote(guard(cell))).join(",")).join("\n") + "\n";
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// The table as it stands: its choices are columns of their own.
function tableAsText() {
  const heads = columns(shown()).filter(([key]) => key !== "track"); // which every row has
  const scope = { board: board().title, metric: data.metrics[Number(choice("metric"))][0], "use case": choice("use-case") || "all",
    perturbation: choice("perturbation") || "all", sensitivity: data.summaries[Number(choice("summary"))], gate: data.gates[Number(choice("gate"))] };
  const exact = (value) => (value === null || value === undefined ? "" : value === "u" ? 0 : value / 1000);
  const text = { mean: (row) => (table().l ? [exact(row.mean), exact(row.low), exact(row.high)] : [exact(row.mean)]), ranks: (row) => [row.ranks, row.worst],
    name: (row) => [row.name], change: (row) => [row.change], cost: (row) => [row.cost],
    source: (row) => [data.criteria[row.name].source ?? null] };
  const names = { name: ["criterion"], mean: table().l ? ["mean", "low", "high"] : ["mean"], ranks: ["best_rank", "worst_rank"], cost: ["forward_equivalents"], change: ["places_gained"] };
  const header = [...Object.keys(scope), ...heads.flatMap(([key, label]) => names[key] ?? [label]), "track", "undefined_cells"];
  const body = shown().map((row) => [...Object.values(scope),
    ...heads.flatMap(([key]) => (key.startsWith("network ") ? [exact(row.networks?.[Number(key.slice(8))])] : text[key](row))), row.track, row.undefined]);
  return [header, ...body];
}
