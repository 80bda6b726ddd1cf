// A row of the leaderboard, its bar, and what opens below it.
function tableRow(row, heads) {
  const cells = { mean: meanCell, bar: (each) => make("td", {}, bar(each)), interval: intervalCell, ranks: ranksCell, change: changeCell, cost: costCell };
  const nodes = heads.slice(1).map(([key]) => {
    if (key.startsWith("network ")) return make("td", {}, number(row.networks?.[Number(key.slice(8))]));
    return key === "track" ? make("td", { class: "text soft" }, trackName(row.track)) : cells[key](row);
  });
  const id = `detail-${row.i}`, open = state.open.has(row.i);
  const button = make("button", { type: "button", class: "name", "aria-expanded": String(open), "aria-controls": id }, ...breakable(row.name));
  const mark = data.criteria[row.name].mark;
  const line = make("tr", {}, make("th", { scope: "row" }, button, ...(mark ? [make("span", { class: "mark" }, mark)] : [])), ...nodes);
  const below = make("tr", { class: "detail", id, hidden: !open }, make("td", { colspan: heads.length }));
  if (open) below.firstChild.append(details(row));
  button.addEventListener("click", () => toggle(row, button, below));
  return [line, below];
}

function toggle(row, button, below) {
  const open = !state.open.delete(row.i);
  if (open) state.open.add(row.i);
  button.setAttribute("aria-expanded", String(open));
  below.hidden = !open;
  below.firstChild.replaceChildren(...(open ? [details(row)] : []));
}

function meanCell(row) {
  if (row.mean === null) return make("td", { class: "soft" }, "not ranked");
  const title = row.undefined ? `undefined in ${row.undefined} cells, which count as 0` : null;
  return make("td", { title }, number(row.mean) + (row.undefined ? "*" : ""));
}

const intervalCell = (row) => make("td", {}, row.low === null ? "–" : `${number(row.low)} to ${number(row.high)}`);
const ranksCell = (row) => make("td", {}, row.ranks === null ? "–" : row.ranks === row.worst ? `${row.ranks}` : `${row.ranks} to ${row.worst}`);
const costCell = (row) => make("td", {}, row.cost === null ? "–" : count(row.cost));
const changeText = (row) => (row.change === null ? "–" : row.change > 0 ? `▲ ${row.change}` : row.change < 0 ? `▼ ${-row.change}` : "=");
const changeCell = (row) => make("td", { title: "places gained against all cells, within the track" }, changeText(row));

const share = (value) => `${50 + Math.max(-1, Math.min(1, value / 1000)) * 50}%`;
const span = (low, high) => ({ left: share(low), width: `calc(${share(high)} - ${share(low)})` });

// The axis runs from -1 to 1; what lies outside is cut off here and told in numbers.
function bar(row) {
  if (row.mean === null) return "";
  const now = table(), parts = [make("i", { class: "fill", style: span(Math.min(0, row.mean), Math.max(0, row.mean)) })];
  if (row.low !== null) parts.push(make("i", { class: "whisker", style: span(row.low, row.high) }));
  const ceiling = now.c?.[row.track];
  if (ceiling !== undefined) parts.push(make("i", { class: "ceiling", title: `${ceilingName(row.track)} ${number(ceiling)}`, style: { left: share(ceiling) } }));
  return make("span", { class: "bar", "aria-hidden": "true" }, ...parts);
}

function details(row) {
  const known = data.criteria[row.name], here = board();
  const facts = [["formula", known.formula], ["needs", known.needs], ["source", known.source], ["forward passes", row.cost === null ? null : count(row.cost)]];
  const words = facts.filter(([, value]) => value).map(([name, value]) => make("p", {}, make("span", { class: "soft" }, `${name}: `), value));
  const against = here.against[row.i].map(([other, value, low, high]) =>
    make("p", {}, make("span", { class: "soft" }, "Spearman in area, minus "), `${other}: ${number(value)} (${low === null ? "no interval: families too nearly alike" : `${number(low)} to ${number(high)}`})`));
  const width = data.perturbations.length;
  const lines = here.networks.map(([network], n) => [network, ...here.cells[row.i].slice(n * width, (n + 1) * width).map((value) => number(value))]);
  const grid = simpleTable(make("table", {}), ["Spearman in area", ...data.perturbations], lines);
  const label = `Values of ${row.name} by network and perturbation`;
  return make("div", { class: "inside" }, ...words, ...against, make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, grid));
}

// The table as it stands: its choices are columns of their own.
function tableAsText() {
  const heads = columns(rows()).filter(([key]) => key !== "bar");
  const scope = { board: board().title, metric: data.metrics[Number(choice("metric"))][0], "use case": choice("use-case") || "all",
    perturbation: choice("perturbation") || "all", sensitivity: data.summaries[Number(choice("summary"))], gate: data.gates[Number(choice("gate"))] };
  const exact = (value) => (value === null || value === undefined ? "" : value === "u" ? 0 : value / 1000);
  const text = { mean: (row) => [exact(row.mean)], interval: (row) => [exact(row.low), exact(row.high)], ranks: (row) => [row.ranks, row.worst],
    name: (row) => [row.name], track: (row) => [row.track], change: (row) => [row.change], cost: (row) => [row.cost] };
  const names = { name: ["criterion"], interval: ["low", "high"], ranks: ["best_rank", "worst_rank"], cost: ["forward_equivalents"], change: ["places_gained"] };
  const header = [...Object.keys(scope), ...heads.flatMap(([key, label]) => names[key] ?? [label]), "undefined_cells"];
  const body = shown().map((row) => [...Object.values(scope),
    ...heads.flatMap(([key]) => (key.startsWith("network ") ? [exact(row.networks?.[Number(key.slice(8))])] : text[key](row))), row.undefined]);
  return [header, ...body];
}
