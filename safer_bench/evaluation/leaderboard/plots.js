// Axes, dots and lines of the plots, in units of a picture that is narrower on a phone, so that its text stays readable.
const narrow = matchMedia("(max-width: 40rem)");
const FRAME = { left: 46, right: 16, top: 14, bottom: 44 };
const fitFrame = () => Object.assign(FRAME, narrow.matches ? { width: 370, height: 330 } : { width: 720, height: 400 });
fitFrame();
narrow.addEventListener("change", () => {
  fitFrame();
  for (const [id, show] of [["cost-plot", showCost], ["scatter", showScatter], ["budget-plot", showBudget]]) if (byId(id)?.hasChildNodes()) show();
});

function scaleOf(low, high, from, to, log = false) {
  const place = log ? Math.log10 : (value) => value;
  const [a, b] = [place(low), place(high)];
  return (value) => (a === b ? (from + to) / 2 : from + ((place(value) - a) / (b - a)) * (to - from));
}

// Round numbers from low to high; powers of ten on a logarithmic axis.
function ticksOf(low, high, log) {
  if (log) return Array.from({ length: Math.round(Math.log10(high / low)) + 1 }, (_, i) => low * 10 ** i);
  const rough = (high - low || 1) / 7, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

const plain = (value) => (Math.abs(value) >= 10000 ? count(value) : String(+value.toPrecision(6)).replace("-", "−"));

function frame(figure, title, x, y) {
  const { width, height, left, right, top, bottom } = FRAME;
  const across = scaleOf(x.low, x.high, left, width - right, x.log), up = scaleOf(y.low, y.high, height - bottom, top);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": title });
  for (const value of ticksOf(y.low, y.high)) {
    svg.append(draw("line", { class: value === 0 ? "axis" : "grid", x1: left, x2: width - right, y1: up(value), y2: up(value) }));
    svg.append(draw("text", { x: left - 8, y: up(value) + 4, "text-anchor": "end" }, plain(value)));
  }
  for (const value of ticksOf(x.low, x.high, x.log)) svg.append(draw("text", { x: across(value), y: height - bottom + 20, "text-anchor": "middle" }, plain(value)));
  svg.append(draw("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
  svg.append(draw("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.name));
  figure.replaceChildren(make("figcaption", {}, `${y.name} ↑`), svg);
  return { svg, across, up };
}

function dot(place, name, kind = "") {
  const node = draw("circle", { class: `dot ${kind}`, cx: place[0], cy: place[1], r: 5.5 });
  node.append(draw("title", {}, name));
  return node;
}

// Labels that fit: each tries several places about its dot, and is left out where all are taken.
function label(svg, places, dots) {
  const taken = dots.map(([x, y]) => [x - 6, y - 6, x + 6, y + 6]);
  for (const [x, y, name] of places) {
    const long = name.length * 6.6, tries = [[x + 9, y - 6, "start", 0], [x - 9, y - 6, "end", -long], [x - 4, y - 20, "start", 0], [x - 4, y + 9, "start", 0], [x, y - 20, "middle", -long / 2], [x, y + 9, "middle", -long / 2]];
    for (const [at, top, anchor, shift] of tries) {
      const box = [at + shift, top, at + shift + long, top + 12];
      const outside = box[0] < FRAME.left || box[2] > FRAME.width || box[1] < 0 || box[3] > FRAME.height - FRAME.bottom;
      if (outside || taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      svg.append(draw("text", { class: "label", x: at, y: top + 10, "text-anchor": anchor }, name));
      break;
    }
  }
}
