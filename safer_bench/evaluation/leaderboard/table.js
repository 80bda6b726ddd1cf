// The leaderboard's table: its rows, columns and order.
const isReported = (name) => data.criteria[name].mark === "reported"; // its author's word alone: shown, not ranked

// One record a row, with all that can be shown or sorted by.
function rows() {
  const now = table(), here = board(), ungated = here.tables[keyOf(choice("metric"), place(), choice("summary"), "0")];
  const places = placesOf(now.v), before = placesOf(ungated.v);
  return here.entries.map(([name, track], i) => ({
    i, name, track, mean: now.v[i], low: now.l?.[i] ?? null, high: now.h?.[i] ?? null, undefined: now.u?.[i] ?? 0,
    ranks: now.a?.[i] ?? null, worst: now.b?.[i] ?? null, cost: Object.hasOwn(here.costs, name) ? here.costs[name] : null,
    change: places[i] === null || before[i] === null ? null : before[i] - places[i], source: data.criteria[name].cited ?? null,
    networks: networkValues(i), control: Boolean(data.criteria[name].control), reported: isReported(name),
  }));
}

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
  tellChoices();
  byId("note").textContent = data.notes[table().t];
  showRows();
}

// Key, heading and explanation of each column.
function columns(all) {
  const now = table(), some = (key) => all.some((row) => row[key] !== null);
  const networks = byId("show-networks").checked && all.some((row) => row.networks) ? board().networks : [];
  return [
    ...(now.l ? [["ranks", "rank", "best and worst rank within the track that the data allow, corrected for multiple comparisons"]] : []),
    ["name", "criterion", "press a name for its formula, its source and its value on each network"],
    ["mean", now.l ? "mean, 95 % interval" : "mean", "mean over families of networks; the interval is unadjusted"],
    ...(choice("gate") !== "0" ? [["change", "places gained", "against all cells, within the track"]] : []),
    ...(some("cost") ? [["cost", "forward passes", "cost of the scores: passes of one example, mean over the board's networks"]] : []),
    ...(some("source") ? [["source", "source", "where the criterion was published"]] : []),
    ...(state.track ? [] : [["track", "track", "what the criterion sees"]]),
    ...networks.map(([network], n) => [`network ${n}`, network, `mean on ${network}`]),
  ];
}

const RISING_FIRST = ["ranks", "name", "cost", "source", "track"];

function heading([key, label, meaning]) {
  const direction = state.sort === key ? (state.falling ? "descending" : "ascending") : "none";
  const button = make("button", { type: "button", class: "sort", title: meaning, "data-sort": key }, ...breakable(label));
  button.addEventListener("click", () => {
    state.falling = state.sort === key ? !state.falling : !RISING_FIRST.includes(key);
    state.sort = key;
    showRows();
    document.querySelector(`#board [data-sort="${CSS.escape(key)}"]`).focus();
  });
  const kind = { mean: table().l ? "mean" : "mean plain", name: "text who", source: "text", track: "text" }[key] ?? null;
  return make("th", { scope: "col", class: kind, "aria-sort": direction }, button, key === "mean" ? barTicks() : null);
}

function compare(a, b) {
  const of = (row) => (state.sort.startsWith("network ") ? row.networks?.[Number(state.sort.slice(8))] ?? null : row[state.sort] ?? null);
  const plain = (value) => (value === "u" ? 0 : value);
  const [x, y] = [plain(of(a)), plain(of(b))];
  if (x === null || y === null) return (x === null) - (y === null) || a.i - b.i; // without a value: last, either way
  const order = typeof x === "string" ? x.localeCompare(y, "en") : x - y;
  return (state.falling ? -order : order) || a.i - b.i;
}

function shown() {
  const wanted = byId("filter").value.trim().toLowerCase();
  return rows().filter((row) => (!state.track || row.track === state.track) && row.name.toLowerCase().includes(wanted)).sort(compare);
}

function showRows() {
  const all = rows(), ofTrack = all.filter((row) => !state.track || row.track === state.track), heads = columns(ofTrack);
  if (!heads.some(([key]) => key === state.sort)) Object.assign(state, { sort: "mean", falling: true }); // no such column here
  const found = shown(), ranked = found.filter((row) => !row.reported), body = byId("board");
  body.style.setProperty("--from", lowestOf(ofTrack));
  const groups = [
    ["", "", ranked.filter((row) => row.mean !== null && !row.control)],
    ["controls", "Controls: size, depth, chance, and measuring itself", ranked.filter((row) => row.mean !== null && row.control)],
    ["unranked", "Not ranked: these did not score every network and perturbation of the board", ranked.filter((row) => row.mean === null)],
    ["reported", "Reported by their authors: not computed again from code, and not ranked", found.filter((row) => row.reported)],
  ];
  body.tHead.replaceChildren(make("tr", {}, ...heads.map(heading)));
  for (const each of [...body.tBodies]) each.remove();
  for (const [kind, title, members] of groups) {
    if (!members.length) continue;
    const head = title ? [make("tr", { class: "group" }, make("th", { colspan: heads.length, scope: "rowgroup" }, make("span", {}, title)))] : [];
    body.append(make("tbody", { class: kind }, ...head, ...members.flatMap((row) => tableRow(row, heads))));
  }
  byId("board-caption").textContent = caption();
  byId("ceiling-name").textContent = ceilingName(state.track);
  byId("count").textContent = `${found.length} of ${all.length} criteria shown`;
  tellNothing(found.length);
}

const caption = () => `${board().title}${state.track ? `, ${trackName(state.track)}` : ""}: ${[
  `mean ${metricWords(data.metrics[Number(choice("metric"))][0])}`, choice("perturbation") ? words(choice("perturbation")) : words(choice("use-case")),
  data.summaries[Number(choice("summary"))]].filter(Boolean).join(", ")}`;

// An empty table says why, and how to fill it again. What is pressed here stays in the page: a click on a new button would be lost.
function tellNothing(size) {
  byId("nothing").hidden = size > 0;
  byId("board").parentElement.hidden = size === 0;
  const where = state.track ? `the track ${trackName(state.track)}` : "this board";
  byId("nothing").firstChild.textContent = size ? "" : `No criterion of ${where} has “${byId("filter").value.trim()}” in its name.`;
}

function showAll() {
  byId("filter").value = "";
  chooseTrack("");
  byId("filter").focus();
}
