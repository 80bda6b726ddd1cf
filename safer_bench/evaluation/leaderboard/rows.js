// A row of the leaderboard, its bar, and what opens below it.
function tableRow(row, heads) {
  const cells = { ranks: ranksCell, name: nameCell, mean: meanCell, change: changeCell, cost: costCell, source: sourceCell, track: trackCell };
  const nodes = heads.map(([key]) => (key.startsWith("network ") ? make("td", {}, number(row.networks?.[Number(key.slice(8))])) : cells[key](row)));
  const line = make("tr", {}, ...nodes), button = line.querySelector(".name"), open = isOpen(row);
  const below = make("tr", { class: "detail", id: `detail-${row.i}`, hidden: !open }, make("td", { colspan: heads.length }));
  if (open) below.firstChild.append(details(row));
  button.addEventListener("click", () => toggle(row, button, below));
  return [line, below];
}

function nameCell(row) {
  const attributes = { type: "button", class: "name", "aria-expanded": String(isOpen(row)), "aria-controls": `detail-${row.i}` };
  const button = make("button", attributes, ...breakable(row.name));
  return make("th", { scope: "row", class: "who" }, button, row.reported ? make("span", { class: "mark" }, "reported") : null);
}

// By track and name, which no two rows of a board share: the same criterion stands open on every board.
const openKey = (row) => `${row.track} ${row.name}`;
const isOpen = (row) => state.open.has(openKey(row));

function toggle(row, button, below) {
  const open = !state.open.delete(openKey(row));
  if (open) state.open.add(openKey(row));
  button.setAttribute("aria-expanded", String(open));
  below.hidden = !open;
  below.firstChild.replaceChildren(...(open ? [details(row)] : []));
}

// The mean, its interval in numbers, and both as one bar.
function meanCell(row) {
  if (row.mean === null) return make("td", { class: "mean soft" }, make("span", {}, "not ranked"));
  const title = row.undefined ? `undefined in ${row.undefined} cells, which count as 0` : null;
  const interval = table().l ? make("span", { class: "interval soft" }, row.low === null ? "–" : `${number(row.low)} to ${number(row.high)}`) : null;
  return make("td", { class: "mean", title }, make("span", { class: "value" }, number(row.mean) + (row.undefined ? "*" : "")), interval, bar(row));
}

const ranksCell = (row) => make("td", { class: "ranks" }, row.ranks === null ? "–" : row.ranks === row.worst ? `${row.ranks}` : `${row.ranks} to ${row.worst}`);
const costCell = (row) => make("td", {}, row.cost === null ? "–" : count(row.cost));
const changeText = (row) => (row.change === null ? "–" : row.change > 0 ? `▲ ${row.change}` : row.change < 0 ? `▼ ${-row.change}` : "=");
const changeCell = (row) => make("td", { title: "places gained against all cells, within the track" }, changeText(row));
const trackCell = (row) => make("td", { class: "text soft track" }, trackName(row.track));

function sourceCell(row) {
  const { cited, arxiv } = data.criteria[row.name];
  return make("td", { class: "text source" }, arxiv ? paper(arxiv, cited) : (cited ?? "–"));
}

// A link out, which asks for nothing before somebody follows it.
const paper = (arxiv, label) => make("a", { href: new URL(arxiv, "https://arxiv.org/abs/").href, rel: "noreferrer" }, label);

// A source in full; its first number on arXiv is the link.
function linked(source, arxiv) {
  const named = `arXiv ${arxiv}`, at = arxiv ? source.indexOf(named) : -1;
  return at < 0 ? [source] : [source.slice(0, at), paper(arxiv, named), source.slice(at + named.length)];
}

// The axis runs to 1, from 0 or the half below all means and ends that are shown, but not below -1; what lies outside is cut off.
function lowestOf(rows) {
  const lowest = Math.min(0, ...rows.flatMap((row) => [row.mean ?? 0, row.low ?? 0])) / 1000;
  return Math.max(-1, Math.floor(lowest * 2) / 2);
}

function barTicks() {
  const from = Number(byId("board").style.getPropertyValue("--from"));
  const shown = from > -1 ? [0, 1] : [from, 0, 1]; // a label of -0.5 would lie on that of 0
  const ticks = shown.map((value) => make("span", { style: { "--at": `${((value - from) / (1 - from)) * 100}%` } }, plain(value)));
  return make("span", { class: "ticks", "aria-hidden": "true" }, ...ticks);
}

function bar(row) {
  const ceiling = table().c?.[row.track], style = { "--mean": row.mean / 1000 };
  const parts = [make("i", { class: "fill" })];
  if (row.low !== null) {
    Object.assign(style, { "--low": row.low / 1000, "--high": row.high / 1000 });
    parts.push(make("i", { class: "whisker" }));
  }
  if (ceiling !== undefined) {
    style["--top"] = ceiling / 1000;
    parts.push(make("i", { class: "ceiling", title: `${ceilingName(row.track)} ${number(ceiling)}` }));
  }
  return make("span", { class: "bar", "aria-hidden": "true", style }, ...parts);
}

function details(row) {
  const { formula, needs, source, arxiv } = data.criteria[row.name], here = board();
  const facts = [["formula", formula], ["needs", needs], ["source", source && linked(source, arxiv)], ["forward passes", row.cost === null ? null : count(row.cost)]];
  const lines = facts.filter(([, value]) => value).map(([name, value]) =>
    make("p", {}, make("span", { class: "soft" }, `${name}: `), ...[value].flat()));
  const against = here.against[row.i].map(([other, value, low, high]) =>
    make("p", {}, make("span", { class: "soft" }, "Spearman in area, minus "), `${other}: ${number(value)} (${low === null ? "no interval: families too nearly alike" : `${number(low)} to ${number(high)}, 95 %, corrected`})`));
  const width = data.perturbations.length;
  const cells = here.networks.map(([network], n) => [network, ...here.cells[row.i].slice(n * width, (n + 1) * width).map((value) => number(value))]);
  const grid = simpleTable(make("table", {}), ["Spearman in area", ...data.perturbations.map(words)], cells);
  const label = `Values of ${row.name} by network and perturbation`;
  return make("div", { class: "inside" }, ...lines, ...against, make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, grid));
}
