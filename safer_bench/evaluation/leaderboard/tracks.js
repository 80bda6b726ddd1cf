// The tracks as tabs over one table: arrow keys move between them, as in any list of tabs.
const TRACKS = {
  blind: "Blind criteria see nothing of the perturbation.",
  perturbation_aware: "Perturbation-aware criteria see the perturbation and give one score for all its levels.",
  level_aware: "Level-aware criteria see the perturbation at each level and give one score a level.",
  "": "All tracks. Ranks are those within each track.",
};
const trackName = (track) => (track ? track.replace("_", "-") : "all tracks");

// The tracks that have criteria on the board; the chosen one stays where the board has it.
function fillTracks() {
  const sizeOf = (track) => board().entries.filter(([, its]) => !track || its === track).length;
  const there = Object.keys(TRACKS).filter(sizeOf);
  if (!there.includes(state.track) || !byId("tracks").hasChildNodes()) state.track = there[0];
  byId("tracks").replaceChildren(...there.map((track) => tab(track, sizeOf(track))));
  markTrack();
}

function tab(track, size) {
  const label = trackName(track), attributes = { type: "button", role: "tab", id: `tab-${track || "all"}`, "data-track": track, "aria-controls": "panel" };
  const node = make("button", attributes, label[0].toUpperCase() + label.slice(1), " ", make("span", { class: "soft" }, String(size)));
  node.addEventListener("click", () => chooseTrack(track));
  node.addEventListener("keydown", moveTrack);
  return node;
}

function chooseTrack(track) {
  state.track = track;
  markTrack();
  showRows();
}

function moveTrack(event) {
  const tabs = [...byId("tracks").children], at = tabs.indexOf(event.currentTarget), last = tabs.length - 1;
  const to = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  tabs[to].click();
  tabs[to].focus();
}

function markTrack() {
  for (const each of byId("tracks").children) {
    const chosen = each.dataset.track === state.track;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    if (chosen) byId("panel").setAttribute("aria-labelledby", each.id);
  }
  byId("track-note").textContent = TRACKS[state.track];
}
