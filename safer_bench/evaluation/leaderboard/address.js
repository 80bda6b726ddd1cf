// What is chosen stands in the page's address, in words, so that a link shows the same again; what is as at first is left out.
const ADDRESSED = ["choose-board", "choose-use-case", "choose-perturbation", "choose-metric", "choose-summary", "choose-gate", "show-networks", "filter",
  "choose-network", "scatter-criterion", "scatter-network", "scatter-perturbation", "scatter-axis", "budget-task", "budget-network", "budget-perturbation", "budget-level"];
const shortName = (id) => id.replace("choose-", "");
const controls = () => ADDRESSED.map(byId).filter(Boolean);
const defaults = new Map();
let reading = false; // an address that is read sets one control after another, and is written once, when all are set

function valueOf(control) {
  if (control.type === "checkbox") return control.checked ? "yes" : "no";
  return control.tagName === "SELECT" ? (control.selectedOptions[0]?.textContent ?? "") : control.value.trim();
}

const RISING = /, rising$/;
const sortWords = () => `${state.sort}${state.falling ? "" : ", rising"}`;

function startAddress() {
  for (const control of controls()) defaults.set(control.id, valueOf(control));
  defaults.set("track", state.track).set("sort", sortWords());
  for (const link of document.querySelectorAll("[data-state]")) {
    link.href = `#${link.dataset.state}`;
    link.addEventListener("click", () => { if (link.hash === location.hash) readAddress(); });
  }
  readAddress();
  for (const event of ["change", "input", "click"]) document.addEventListener(event, ({ target }) => { if (!target.closest("a")) writeAddress(); });
  addEventListener("hashchange", readAddress);
}

function writeAddress() {
  if (reading) return;
  const now = controls().map((control) => [shortName(control.id), valueOf(control), defaults.get(control.id)]);
  now.push(["track", state.track || "all", defaults.get("track") || "all"], ["sort", sortWords(), defaults.get("sort")]);
  const wanted = new URLSearchParams(now.filter(([, value, first]) => value !== first).map(([name, value]) => [name, value])).toString();
  const differs = location.hash !== `#${wanted}` && (wanted || location.hash.includes("="));
  if (differs) history.replaceState(null, "", `#${wanted}`);
}

// A part that nothing here is called by is passed over; so is an address that names a section. An empty one shows all as at first.
function readAddress() {
  if (location.hash && !location.hash.includes("=")) return;
  reading = true;
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const control of controls()) set(control, wanted.get(shortName(control.id)));
  const track = wanted.get("track") ?? defaults.get("track");
  if (track === "all" || byId(`tab-${track || "all"}`)) state.track = track === "all" ? "" : track;
  const sort = wanted.get("sort") ?? defaults.get("sort");
  Object.assign(state, { sort: sort.replace(RISING, ""), falling: !RISING.test(sort) });
  byId("more").open = byId("more").open || byId("more-chosen").textContent !== "";
  markTrack();
  showRows();
  if (location.hash) byId("board-title").scrollIntoView();
  reading = false;
  writeAddress();
}

// What a choice has not got, or not with the other choices as they are, leaves it as at first.
function set(control, wanted) {
  const first = defaults.get(control.id), value = wanted ?? first;
  if (value === valueOf(control)) return;
  if (control.tagName === "SELECT") {
    const option = optionOf(control, value) ?? optionOf(control, first);
    if (!option || option.selected) return;
    option.selected = true;
  } else if (control.type === "checkbox") control.checked = value === "yes";
  else control.value = value;
  control.dispatchEvent(new Event(control.type === "search" ? "input" : "change", { bubbles: true }));
}

const optionOf = (select, label) => [...select.options].find((each) => each.textContent === label && !each.disabled);
