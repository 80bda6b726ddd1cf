// Accuracy against what was spent.
const MARKS_OF_BUDGETS = ["uniform", "truth_guided", "best_known", "unchanged", "nothing_protected", "everything_protected"];
const DASHES = ["", "7 3", "2 3", "10 3 2 3"];
const lineStyle = (slot) => ({ stroke: `var(--c${slot % 8})`, "stroke-dasharray": DASHES[Math.floor(slot / 2) % 4] });

const BUDGET_CHOICES = ["task", "network", "perturbation", "level"];

// The rows of what is chosen, or of some of the choices alone.
function budgetRows(names = BUDGET_CHOICES) {
  const wanted = names.map((name) => [data.budget[name], byId(`budget-${name}`).value]);
  return data.budget.task.map((_, i) => i).filter((i) => wanted.every(([values, value]) => String(values[i] ?? "") === value));
}

// A criterion of two tracks has two lines.
const tracksOf = new Map();
(data.budget?.criterion ?? []).forEach((name, i) => tracksOf.set(name, (tracksOf.get(name) ?? new Set()).add(data.budget.track[i])));
const lineName = (i) => (tracksOf.get(data.budget.criterion[i]).size > 1 ? `${data.budget.criterion[i]} (${trackName(data.budget.track[i])})` : data.budget.criterion[i]);

function startBudget() {
  if (!data.budget) return;
  for (const name of BUDGET_CHOICES) byId(`budget-${name}`).addEventListener("change", chooseBudget);
  chooseBudget();
}

// Each choice among what those before it leave, and the lines: at first the best three, the truth's and an even spread.
function chooseBudget() {
  const { budget } = data, of = (name, before) => [...new Set(budgetRows(before).map((i) => budget[name][i]))];
  BUDGET_CHOICES.forEach((name, n) => {
    fill(byId(`budget-${name}`), of(name, BUDGET_CHOICES.slice(0, n)).map((value) => [value ?? "", String(value ?? "none")]));
  });
  byId("budget-perturbation").parentElement.hidden = of("perturbation", ["task"]).length === 1;
  byId("budget-level").parentElement.hidden = of("level", ["task", "network"]).every((level) => level === null);
  const best = new Map();
  for (const i of budgetRows()) best.set(lineName(i), (best.get(lineName(i)) ?? 0) + budget.accuracy[i]);
  const names = [...best].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([name]) => name);
  const first = new Set([...names.filter((name) => !MARKS_OF_BUDGETS.includes(name)).slice(0, 3), "uniform", "truth_guided"]);
  const boxes = names.map((name) => lineBox(name, first.has(name)));
  byId("budget-lines").replaceChildren(byId("budget-lines").firstElementChild, ...boxes);
  showBudget();
}

function lineBox(name, checked) {
  const box = make("input", { type: "checkbox", value: name, checked });
  box.addEventListener("change", showBudget);
  const line = make("label", {}, box, draw("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" }, draw("line", { x1: 0, x2: 28, y1: 5, y2: 5, "stroke-width": 2.5 })), name);
  for (const event of ["pointerenter", "focusin"]) line.addEventListener(event, () => bringOut(name));
  for (const event of ["pointerleave", "focusout"]) line.addEventListener(event, () => bringOut(null));
  return line;
}

function showBudget() {
  const { budget } = data, found = budgetRows(), boxes = [...byId("budget-lines").querySelectorAll("input")];
  const names = boxes.filter((box) => box.checked).map((box) => box.value);
  for (const box of boxes) {
    const slot = names.indexOf(box.value), key = box.parentElement.querySelector("line");
    box.disabled = slot < 0 && names.length >= 8;
    key.parentElement.toggleAttribute("hidden", slot < 0);
    for (const [name, value] of Object.entries(slot < 0 ? {} : lineStyle(slot))) key.setAttribute(name, value);
  }
  const task = byId("budget-task").value, all = (name, rows) => rows.map((i) => budget[name][i] / 1000);
  const drawn = found.filter((i) => names.includes(lineName(i))), used = drawn.length ? drawn : found;
  const bounds = (values) => [Math.min(...values), Math.max(...values)];
  const [low, high] = bounds(all("accuracy", used));
  const [first, last] = bounds(all("spent", used));
  const measures = { prune: "share of weights removed", quantize: "mean bits of a weight", protect: "share of parameters protected" };
  const x = { name: `spent: ${measures[task] ?? task}`, low: first, high: last }, y = { name: "accuracy", low: Math.floor(low * 10) / 10, high: Math.min(1, Math.ceil(high * 10) / 10) };
  const picture = frame(byId("budget-plot"), `Accuracy against what was spent: ${BUDGET_CHOICES.map((name) => byId(`budget-${name}`).value).filter(Boolean).join(", ")}`, x, y);
  drawBudget(picture, names, drawn, y);
  showBudgetTable(found);
}

function showBudgetTable(found) {
  const { budget } = data;
  const cells = found.map((i) => [lineName(i), budget.track[i] ? trackName(budget.track[i]) : "–", budget.perturbation[i], String(budget.budget[i] / 1000), number(budget.spent[i], 3),
    estimated("accuracy", "low", "high", i), estimated("gain", "gain_low", "gain_high", i), budget.verdict[i] ?? "–",
    estimated("regret", "regret_low", "regret_high", i), String(budget.n_examples[i]), number(budget.truth_guided_share[i])]);
  simpleTable(byId("budget-table"), ["criterion", "track", "perturbation", "budget", "spent", "accuracy (95 %)",
    "gain over uniform at equal spending (95 %)", "all gains at once", "regret (95 %)", "examples", "share of the gain that the truth brings"], cells);
}

// A value and its interval, where there is one.
function estimated(name, low, high, i) {
  const { budget } = data;
  return budget[low][i] === null ? number(budget[name][i], 3) : `${number(budget[name][i], 3)} (${number(budget[low][i], 3)} to ${number(budget[high][i], 3)})`;
}

// A group a line: its band, its points, its name at the end.
function drawBudget(picture, names, drawn, y) {
  const { svg, across, up } = picture, ends = [];
  names.forEach((name, slot) => {
    const found = drawn.filter((i) => lineName(i) === name), last = found.at(-1);
    svg.append(budgetLine(picture, name, slot, found, y));
    if (found.length) ends.push([across(data.budget.spent[last] / 1000), up(data.budget.accuracy[last] / 1000), name]);
  });
  label(svg, ends, ends);
  readable(byId("budget-plot"), svg, [...svg.querySelectorAll("circle")], "Point at a dot, or reach the plot by Tab and its dots by the arrow keys.");
  if (!names.length) byId("budget-plot").append(make("p", { class: "note" }, "No line is chosen: choose some above."));
}

// The band is cut off at the plot's edges: ends of intervals far away would press the lines together.
function budgetLine({ across, up }, name, slot, found, y) {
  const height = (value) => up(Math.max(y.low, Math.min(y.high, value / 1000))).toFixed(1);
  const at = (values) => found.map((i) => `${across(data.budget.spent[i] / 1000).toFixed(1)},${height(values[i])}`);
  const { low, high, accuracy, budget, spent, verdict } = data.budget, group = draw("g", { "data-line": name });
  if (found.every((i) => low[i] !== null && high[i] !== null)) {
    group.append(draw("polygon", { class: "band", fill: `var(--c${slot % 8})`, points: [...at(high), ...at(low).reverse()].join(" ") }));
  }
  group.append(draw("polyline", { class: "line", ...lineStyle(slot), points: at(accuracy).join(" ") }, draw("title", {}, name)));
  for (const i of found) {
    const title = `${name}: accuracy ${estimated("accuracy", "low", "high", i)} at budget ${budget[i] / 1000}, of which ${number(spent[i], 3)} spent${verdict[i] ? `: ${verdict[i]}` : ""}`;
    group.append(draw("circle", { cx: across(spent[i] / 1000), cy: up(accuracy[i] / 1000), r: 4, fill: `var(--c${slot % 8})` }, draw("title", {}, title)));
  }
  for (const event of ["pointerenter", "focusin"]) group.addEventListener(event, () => bringOut(name));
  for (const event of ["pointerleave", "focusout"]) group.addEventListener(event, () => bringOut(null));
  return group;
}

// One line stands out, the others fade; null: all alike.
function bringOut(name) {
  const groups = [...byId("budget-plot").querySelectorAll("g")], there = groups.some((group) => group.dataset.line === name);
  for (const group of groups) {
    group.classList.toggle("faded", there && group.dataset.line !== name);
    group.classList.toggle("out", group.dataset.line === name);
  }
}
