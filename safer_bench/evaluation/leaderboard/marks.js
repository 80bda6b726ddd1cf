// The marks of a plot by keyboard and pointer: one stop of the Tab key a plot, arrows between its marks, and the values in a line below it.
function readable(figure, svg, marks, hint) {
  const line = make("p", { class: "readout", "aria-hidden": "true" }, hint); // a screen reader has the mark's own label
  const order = marks.map((each) => [each, Number(each.getAttribute("cx")), Number(each.getAttribute("cy"))]).sort((a, b) => a[1] - b[1] || b[2] - a[2]).map(([each]) => each);
  order.forEach((each, i) => {
    each.setAttribute("role", "img");
    each.setAttribute("aria-label", each.querySelector("title").textContent);
    each.setAttribute("tabindex", i ? -1 : 0);
    for (const event of ["focus", "pointerenter"]) each.addEventListener(event, () => { line.textContent = each.getAttribute("aria-label"); });
  });
  svg.addEventListener("keydown", (event) => moveMark(event, order));
  figure.append(line);
}

function moveMark(event, order) {
  const at = order.indexOf(event.target), last = order.length - 1;
  const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: last }[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  const next = order[Math.max(0, Math.min(last, to))];
  for (const each of order) each.setAttribute("tabindex", each === next ? 0 : -1);
  next.focus();
}
