// The leaderboard's table: choices, rows, sorting, details.
const choice = (name) => byId(`choose-${name}`).value;
const board = () => data.boards[Number(choice("board"))];

// Where the chosen perturbations are in data.places.
function placeOf(useCase, perturbation) {
  const exact = data.places.findIndex(([c, p]) => c === (useCase || null) && p === (perturbation || null));
  return exact >= 0 ? exact : data.places.findIndex(([c, p]) => c === useCase && p === null); // the only one of its use case
}

const keyOf = (metric, place, summary, gate) => [metric, place, summary, gate].join(".");
const place = () => placeOf(choice("use-case"), choice("perturbation"));
const chosenKey = () => keyOf(choice("metric"), place(), choice("summary"), choice("gate"));
const table = () => board().tables[chosenKey()];
// Of which part of the cells it is, where not of all; where no track is named, each note of the tracks.
const ceilingNotes = (track) => [...new Set(track ? [table().o?.[track]] : Object.values(table().o ?? {}))].filter(Boolean);
const ceilingName = (track) => ["ceiling", ...ceilingNotes(track).map((note) => `(${note})`)].join(" ");

const useCaseOf = (perturbation) => data.use_cases[data.perturbations.indexOf(perturbation)];
const perturbationsOf = (useCase) => data.perturbations.filter((name) => !useCase || useCaseOf(name) === useCase);
const withAll = (names) => [["", "all"], ...names.map((name) => [name, name.replaceAll("_", " ")])];

// The largest board of test networks.
function firstBoard() {
  const sizes = data.boards.map((each) => (each.split === "test" ? 1000 : 0) + (each.headline ? 500 : 0) + each.networks.length);
  return sizes.indexOf(Math.max(...sizes));
}

function startChoices() {
  fill(byId("choose-board"), data.boards.map((each, i) => [i, each.title]), firstBoard());
  fill(byId("choose-metric"), data.metrics.map(([name], i) => [i, name.replaceAll("_", " ")]));
  fill(byId("choose-use-case"), withAll([...new Set(data.use_cases.filter(Boolean))].sort()));
  fill(byId("choose-summary"), data.summaries.map((name, i) => [i, name]));
  fill(byId("choose-gate"), data.gates.map((gate, i) => [i, gate ? `${gate} or more` : "any"]));
  byId("choices").addEventListener("change", changed);
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").addEventListener("input", showRows);
  byId("download").addEventListener("click", () => saveCsv("safer-bench-table.csv", tableAsText()));
  changed({ target: byId("choose-board") });
}

function changed(event) {
  const source = event.target.id, perturbation = choice("perturbation");
  if (source === "choose-perturbation" && perturbation) byId("choose-use-case").value = useCaseOf(perturbation);
  fill(byId("choose-perturbation"), withAll(perturbationsOf(choice("use-case"))), source === "choose-use-case" ? "" : perturbation);
  if (source === "choose-board") {
    const tracks = [...new Set(board().entries.map(([, track]) => track))];
    fill(byId("choose-track"), [["", "all"], ...tracks.map((track) => [track, trackName(track)])]);
  }
  if (!table()) for (const name of ["gate", "summary"]) byId(`choose-${name}`).value = table() ? choice(name) : "0";
  if (!table()) byId("choose-metric").value = "0";
  showBoard();
  showCost();
}

// What has no table with the other choices as they are is greyed.
function greyOptions() {
  const here = board().tables;
  const now = { metric: choice("metric"), place: place(), summary: choice("summary"), gate: choice("gate") };
  const exists = (other) => { const all = { ...now, ...other }; return keyOf(all.metric, all.place, all.summary, all.gate) in here; };
  for (const name of ["metric", "summary", "gate"]) {
    for (const option of byId(`choose-${name}`).options) option.disabled = !exists({ [name]: option.value });
  }
  for (const option of byId("choose-use-case").options) option.disabled = !exists({ place: placeOf(option.value, "") });
  for (const option of byId("choose-perturbation").options) {
    const useCase = option.value ? useCaseOf(option.value) : choice("use-case");
    option.disabled = !exists({ place: placeOf(useCase, option.value) });
  }
}

// One record a row, with all that can be shown or sorted by.
function rows() {
  const now = table(), here = board(), ungated = here.tables[keyOf(choice("metric"), place(), choice("summary"), "0")];
  const places = placesOf(now.v), before = placesOf(ungated.v);
  return here.entries.map(([name, track], i) => ({
    i, name, track, mean: now.v[i], low: now.l?.[i] ?? null, high: now.h?.[i] ?? null, undefined: now.u?.[i] ?? 0,
    ranks: now.a?.[i] ?? null, worst: now.b?.[i] ?? null, cost: Object.hasOwn(here.costs, name) ? here.costs[name] : null,
    change: places[i] === null || before[i] === null ? null : before[i] - places[i],
    networks: networkValues(i), control: Boolean(data.criteria[name].control), reported: isReported(name),
  }));
}

const isReported = (name) => data.criteria[name].mark === "reported"; // its author's word alone: shown, not ranked

// The place of each row by its mean, within its track, equal means alike; replicates and other controls count.
function placesOf(values) {
  const { entries } = board(), ranked = values.map((value, i) => (isReported(entries[i][0]) ? null : value));
  return ranked.map((value, i) => (value === null ? null : 1 + ranked.filter((other, j) => other !== null && entries[j][1] === entries[i][1] && other > value).length));
}

// Values of single networks where the page has them: means over all perturbations, or one perturbation by Spearman.
function networkValues(i) {
  const now = table(), here = board();
  if (now.n) return now.n[i];
  const [useCase, perturbation] = data.places[place()];
  const alone = perturbation ?? (perturbationsOf(useCase).length === 1 ? perturbationsOf(useCase)[0] : null);
  if (choice("metric") !== "0" || choice("summary") !== "0" || choice("gate") !== "0" || alone === null) return null;
  const at = data.perturbations.indexOf(alone), width = data.perturbations.length;
  return here.networks.map((_, n) => here.cells[i][n * width + at]);
}

function showBoard() {
  greyOptions();
  const [name, meaning] = data.metrics[Number(choice("metric"))];
  byId("metric-note").textContent = `${name.replaceAll("_", " ")}: ${meaning}.`;
  byId("note").textContent = data.notes[table().t];
  byId("ceiling-name").textContent = ceilingName();
  byId("board-caption").textContent = `${board().title}: mean ${name.replaceAll("_", " ")}, ${data.summaries[Number(choice("summary"))]}`;
  showRows();
}

function columns(all) {
  const now = table(), some = (key) => all.some((row) => row[key] !== null);
  const networks = byId("show-networks").checked && all.some((row) => row.networks) ? board().networks : [];
  return [
    ["name", "criterion"], ["mean", "mean"], ["bar", ""],
    ...(now.l ? [["interval", "95 % interval"], ["ranks", "ranks"]] : []),
    ...(choice("gate") !== "0" ? [["change", "places gained"]] : []),
    ...(some("cost") ? [["cost", "forward passes"]] : []),
    ["track", "track"], ...networks.map(([network], n) => [`network ${n}`, network]),
  ];
}

function compare(a, b) {
  const of = (row) => state.sort.startsWith("network ") ? row.networks?.[Number(state.sort.slice(8))] ?? null
    : state.sort === "interval" ? row.low : row[state.sort === "bar" ? "mean" : state.sort];
  const plain = (value) => (value === "u" ? 0 : value);
  const [x, y] = [plain(of(a)), plain(of(b))];
  if (x === null || y === null) return (x === null) - (y === null) || a.i - b.i; // without a value: last, either way
  const order = typeof x === "string" ? x.localeCompare(y, "en") : x - y;
  return (state.falling ? -order : order) || a.i - b.i;
}

function shown() {
  const wanted = byId("filter").value.trim().toLowerCase();
  return rows().filter((row) => (!choice("track") || row.track === choice("track")) && row.name.toLowerCase().includes(wanted)).sort(compare);
}

function showRows() {
  const found = shown(), heads = columns(rows()), ranked = found.filter((row) => !row.reported);
  const groups = [
    ["", "", ranked.filter((row) => row.mean !== null && !row.control)],
    ["controls", "Controls: size, depth, chance, and measuring itself", ranked.filter((row) => row.mean !== null && row.control)],
    ["unranked", "Not ranked: these did not score every network and perturbation of the board", ranked.filter((row) => row.mean === null)],
    ["reported", "Reported by their authors: not computed again from code, and not ranked", found.filter((row) => row.reported)],
  ];
  byId("board").tHead.replaceChildren(make("tr", {}, ...heads.map(([key, label]) => (key === "bar" ? barHead() : sortable(key, label)))));
  for (const body of [...byId("board").tBodies]) body.remove();
  for (const [kind, title, members] of groups) {
    if (!members.length) continue;
    const head = title ? [make("tr", { class: "group" }, make("th", { colspan: heads.length, scope: "rowgroup" }, title))] : [];
    byId("board").append(make("tbody", { class: kind }, ...head, ...members.flatMap((row) => tableRow(row, heads))));
  }
  byId("count").textContent = `${found.length} of ${board().entries.length} criteria shown`;
}

function barHead() {
  return make("th", { class: "wide" }, make("span", { class: "ticks", "aria-hidden": "true" }, make("span", {}, "−1"), make("span", {}, "0"), make("span", {}, "1")));
}
