"use strict";
// Shared state and drawing primitives. Every number was computed before: this script sorts, filters and draws.
// Names are a stranger's: they enter the page as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const state = { track: "", sort: "mean", falling: true, open: new Set() };

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "style") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Thousandths as text with two decimals, and a minus sign that a screen reader reads.
function number(value, digits = 2) {
  if (value === null || value === undefined) return "–";
  if (value === "u") return "0*";
  const text = (Math.round(Math.abs(value) / 10 ** (3 - digits)) / 10 ** digits).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

const count = (value) => (value >= 1e6 ? `${+(value / 1e6).toPrecision(3)}M` : value >= 1e4 ? `${+(value / 1e3).toPrecision(3)}k` : `${+value.toPrecision(3)}`);

// A name that may break after underscores and dots, but not before the number that it ends with.
function breakable(name) {
  const parts = String(name).split(/(?<=[_.])(?!\d+$)/);
  return parts.flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part]));
}

function fill(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, label]) => make("option", { value }, label)));
  select.value = options.some(([value]) => String(value) === String(chosen)) ? chosen : options[0]?.[0] ?? "";
}

const words = (name) => String(name).replaceAll("_", " ");
const metricWords = (name) => words(name).replace("spearman", "Spearman").replace("kendall tau b", "Kendall tau-b").replace("ndcg", "NDCG");

function simpleTable(table, header, rows) {
  const head = make("thead", {}, make("tr", {}, ...header.map((name) => make("th", { scope: "col" }, ...breakable(name)))));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, ...breakable(first)), ...rest.map((cell) => make("td", {}, cell))));
  table.replaceChildren(head, make("tbody", {}, ...body));
  return table;
}
