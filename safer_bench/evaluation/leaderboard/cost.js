// Quality against cost, with the line of what nothing cheaper beats.
function showCost() {
  const found = rows().filter((row) => row.cost !== null && row.mean !== null);
  byId("cost").hidden = !found.length;
  if (!found.length) return;
  const costs = found.map(costOf), values = found.map((row) => row.mean / 1000);
  const x = { name: "forward passes of one example (logarithmic)", low: 10 ** Math.floor(Math.log10(Math.min(...costs))), high: 10 ** Math.ceil(Math.log10(Math.max(...costs) * 1.01)), log: true };
  const metric = metricWords(data.metrics[Number(choice("metric"))][0]);
  const y = { name: `mean ${metric}`, low: Math.min(0, Math.floor(Math.min(...values) * 5) / 5), high: Math.max(1, ...values) };
  const picture = frame(byId("cost-plot"), `Mean ${metric} against forward passes, ${found.length} criteria`, x, y), { svg, across, up } = picture;
  const places = found.map((row, i) => [across(costs[i]), up(values[i]), row.name]);
  const ceilings = [...new Set(Object.values(table().c ?? {}))];
  for (const each of ceilings) svg.append(draw("line", { class: "ceiling", x1: FRAME.left, x2: FRAME.width - FRAME.right, y1: up(each / 1000), y2: up(each / 1000) }));
  svg.append(frontLine(found, picture));
  const dots = found.map((row, i) => dot(places[i], `${row.name}, ${trackName(row.track)}: ${number(row.mean)} for ${count(row.cost)} forward passes`, row.control ? "control" : ""));
  svg.append(...dots);
  label(svg, [...places].sort((a, b) => a[1] - b[1]), places);
  readable(byId("cost-plot"), svg, dots, "Point at a dot, or reach the plot by Tab and its dots by the arrow keys.");
  byId("cost-plot").append(make("figcaption", {}, `The stepped line is the Pareto front: nothing that costs as little reaches more. Rings are controls${ceilingWords(ceilings)}.`));
}

const costOf = (row) => Math.max(row.cost, 1); // an axis of logarithms has no 0

function ceilingWords(ceilings) {
  if (!ceilings.length) return "";
  return ceilings.length === 1 ? `; the dotted line is the ${ceilingName()}` : "; the dotted lines are the ceilings, the lower one of blind criteria";
}

// The rows that no other beats at the same cost or less; reported scores beat nobody.
function frontOf(found) {
  const front = [];
  for (const row of found.filter((each) => !each.reported).sort((a, b) => costOf(a) - costOf(b) || b.mean - a.mean)) {
    if (!front.length || row.mean > front.at(-1).mean) front.push(row);
  }
  return front;
}

function frontLine(found, { across, up }) {
  const steps = frontOf(found).map((row, i) => `${i ? "H" : "M"}${across(costOf(row)).toFixed(1)}${i ? "V" : " "}${up(row.mean / 1000).toFixed(1)}`);
  return draw("path", { class: "front", d: steps.length ? `${steps.join("")}H${FRAME.width - FRAME.right}` : "" });
}
