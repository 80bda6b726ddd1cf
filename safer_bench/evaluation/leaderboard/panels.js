// The heat map of the truth, scores against truth, and budgets.
// The network with most layers of the board that is shown.
function firstNetwork() {
  const names = board() ? board().networks.map(([name]) => name) : Object.keys(data.truth);
  return names.reduce((a, b) => (data.truth[b].layers.length > data.truth[a].layers.length ? b : a));
}

function startTruth() {
  const names = Object.keys(data.truth);
  byId("truth").hidden = !names.length;
  if (!names.length) return;
  fill(byId("choose-network"), names.map((name) => [name, `${name} (${data.truth[name].board})`]), firstNetwork());
  byId("choose-network").addEventListener("change", showTruth);
  showTruth();
}

function showTruth() {
  const name = byId("choose-network").value, { layers, areas, reliability } = data.truth[name];
  const head = make("tr", {}, make("th", { scope: "col" }, "layer"), ...data.perturbations.map((each) => make("th", { scope: "col" }, words(each))));
  const body = layers.map((layer, i) => make("tr", {}, make("th", { scope: "row" }, ...breakable(layer)), ...areas.map((values, p) => heatCell(layer, p, values?.[i]))));
  const foot = make("tr", {}, make("th", { scope: "row" }, "reliability"), ...reliability.map((value) => make("td", {}, number(value))));
  const caption = make("caption", {}, `${name} (${data.truth[name].board}), ${layers.length} layers`);
  byId("heat").replaceChildren(caption, make("thead", {}, head), make("tbody", {}, ...body), make("tfoot", {}, foot));
}

function heatCell(layer, p, value) {
  if (value === null || value === undefined) return make("td", { class: "none" }, "–");
  const strength = Math.max(0, Math.min(1, value / 1000));
  const title = `${layer} under ${data.perturbations[p]}: ${number(value, 3)}`;
  return make("td", { class: strength > 0.535 ? "deep" : null, style: { "--v": strength }, title }, number(value));
}

// Ranks of values, ties at their mean rank; 1 is the lowest.
function ranksOf(values) {
  return values.map((value) => 1 + values.filter((other) => other < value).length + (values.filter((other) => other === value).length - 1) / 2);
}

function startScatter() {
  if (!data.scores) return;
  const scored = new Set(Object.values(data.scores).flatMap((each) => Object.keys(each).map(Number)));
  const names = data.scored.map(([name, track], i) => [i, `${name} (${trackName(track)})`]).filter(([i]) => scored.has(i));
  if (!names.length) { byId("predicted").hidden = true; return; }
  const first = names.find(([i]) => !data.criteria[data.scored[i][0]].control) ?? names[0];
  fill(byId("scatter-criterion"), names, first[0]);
  byId("unshown").textContent = data.unshown.length ? `Left out to keep the page small (their scores are with the data): ${data.unshown.join(", ")}.` : "";
  byId("unshown").hidden = !data.unshown.length;
  for (const name of ["criterion", "network", "perturbation", "axis"]) byId(`scatter-${name}`).addEventListener("change", showScatter);
  showScatter();
}

function showScatter() {
  const criterion = byId("scatter-criterion").value;
  fill(byId("scatter-network"), Object.keys(data.truth).filter((name) => data.scores[name]?.[criterion]).map((name) => [name, name]), byId("scatter-network").value || firstNetwork());
  const network = byId("scatter-network").value, given = data.scores[network][criterion], truth = data.truth[network];
  const known = data.perturbations.map((name, p) => [p, words(name)]).filter(([p]) => truth.areas[p] && (given.all || given[p]));
  fill(byId("scatter-perturbation"), known);
  const p = Number(byId("scatter-perturbation").value), ranks = given.all ?? given[p], areas = truth.areas[p].map((value) => value / 1000);
  const byRank = byId("scatter-axis").value === "rank", heights = byRank ? ranksOf(areas) : areas;
  const x = { name: "rank by the criterion: more sensitive →", low: 0, high: ranks.length + 1 };
  const y = byRank ? { name: "true rank: more sensitive", low: 0, high: ranks.length + 1 } : { name: "true area", low: Math.min(0, ...areas), high: Math.max(...areas, 0.1) };
  const title = `${data.scored[criterion][0]} on ${network} under ${data.perturbations[p]}`;
  const { svg, across, up } = frame(byId("scatter"), title, x, y);
  if (byRank) svg.append(draw("line", { class: "grid", x1: across(0), y1: up(0), x2: across(x.high), y2: up(y.high) }));
  const places = truth.layers.map((layer, i) => [across(ranks[i]), up(heights[i]), layer]);
  const dots = truth.layers.map((layer, i) => dot(places[i], `${layer}: predicted rank ${ranks[i]}, true rank ${ranksOf(areas)[i]}, true area ${number(truth.areas[p][i], 3)}`));
  svg.append(...dots);
  label(svg, places, places);
  readable(byId("scatter"), svg, dots, "Point at a dot, or reach the plot by Tab and its dots by the arrow keys.");
  byId("scatter").append(make("figcaption", {}, `${title}: Spearman ${number(spearmanOf(criterion, network, p))}, reliability of the truth ${number(truth.reliability[p])}`));
  const lines = truth.layers.map((layer, i) => [layer, String(ranks[i]), String(ranksOf(areas)[i]), number(truth.areas[p][i], 3)]);
  simpleTable(byId("scatter-table"), ["layer", "rank by the criterion", "true rank", "true area"], lines);
}

// The value that evaluation computed, from the board that has the network.
function spearmanOf(criterion, network, p) {
  const [name, track] = data.scored[criterion];
  const here = data.boards.find((each) => each.networks.some(([other]) => other === network));
  const i = here?.entries.findIndex(([other, its]) => other === name && its === track) ?? -1;
  return i < 0 ? null : here.cells[i][here.networks.findIndex(([other]) => other === network) * data.perturbations.length + p];
}
