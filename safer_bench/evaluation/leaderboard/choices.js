// What the leaderboard shows: board, use case, metric and the rest, and the table of numbers that they name.
const choice = (name) => byId(`choose-${name}`).value;
const board = () => data.boards[Number(choice("board"))];
const FOLDED = ["metric", "perturbation", "summary", "gate"];

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
const withAll = (names) => [["", "all"], ...names.map((name) => [name, words(name)])];

function startChoices() {
  fill(byId("choose-board"), data.boards.map((each, i) => [i, each.title]));
  fill(byId("choose-metric"), data.metrics.map(([name], i) => [i, metricWords(name)]));
  fill(byId("choose-use-case"), withAll([...new Set(data.use_cases.filter(Boolean))].sort()));
  fill(byId("choose-summary"), data.summaries.map((name, i) => [i, name]));
  fill(byId("choose-gate"), data.gates.map((gate, i) => [i, gate ? `${gate} or more` : "any"]));
  byId("choices").addEventListener("change", changed);
  byId("choices").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").addEventListener("input", showRows);
  byId("show-all").addEventListener("click", showAll);
  byId("download").addEventListener("click", () => saveCsv("safer-bench-table.csv", tableAsText()));
  changed({ target: byId("choose-board") });
}

function changed(event) {
  const source = event.target.id, perturbation = choice("perturbation");
  if (source === "filter") return; // told by each letter; told again when it loses the focus, it would draw anew what is just pressed
  if (source === "choose-perturbation" && perturbation) byId("choose-use-case").value = useCaseOf(perturbation);
  fill(byId("choose-perturbation"), withAll(perturbationsOf(choice("use-case"))), source === "choose-use-case" ? "" : perturbation);
  if (source === "choose-board") fillTracks();
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

// What is chosen among the folded choices, and what the metric means.
function tellChoices() {
  const [name, meaning] = data.metrics[Number(choice("metric"))];
  const told = FOLDED.map((each) => byId(`choose-${each}`)).filter((select) => select.selectedIndex > 0).map((select) => select.selectedOptions[0].textContent);
  byId("more-chosen").textContent = told.length ? `: ${told.join(", ")}` : "";
  byId("metric-note").textContent = `${metricWords(name)}: ${meaning}.`;
}
