// The page of one image is these scripts, in this order, in one scope: lighting.js, photo.js, graphs.js, walk.js, page.js.
// Here: what belongs to what, and lighting it up.
// Every thing has a key, "p-o3": p prediction or t ground truth; o object, a attribute, r relationship; its index.
// A graph's SVG nodes have the key as their id. Text from data only ever becomes text nodes and attribute values.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const SIDES = { p: "prediction", t: "truth" };
const STATUS = { hit: "√ hit", found: "√ found", extra: "× not annotated", missed: "○ missed" };
const byId = (id) => document.getElementById(id);
const stage = byId("stage");
const boxed = Object.values(data.graphs).some((graph) => graph.objects.some(({ w, h }) => w > 0 && h > 0));
const views = new Map(); // key -> every element that shows it
const edges = new Map(); // key of an attribute or relationship -> its edges in the SVG

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// ---------------------------------------------------------------- what belongs to what

function look(key) {
  const [side, rest] = key.split("-");
  const graph = data.graphs[SIDES[side]];
  const index = Number(rest.slice(1));
  const kind = { o: "objects", a: "attributes", r: "relationships" }[rest[0]];
  return { side, kind, index, graph, item: graph[kind][index] };
}

function called(side, index) {
  const { name } = data.graphs[SIDES[side]].objects[index];
  return boxed ? `${name} ${index + 1}` : name; // without boxes there is nothing to number
}

function words(key) {
  const { side, kind, index, item } = look(key);
  if (kind === "objects") return called(side, index);
  if (kind === "attributes") return `${called(side, item.object)} is ${item.attribute}`;
  return `${called(side, item.subject)} ${item.predicate} ${called(side, item.object)}`;
}

function sentence(key) {
  const { side, item } = look(key);
  const parts = [words(key)];
  if (item.score !== undefined) parts.push(`score ${item.score.toFixed(2)}`);
  if (item.status) parts.push(STATUS[item.status].slice(2));
  if (data.graphs.truth) parts.push(side === "p" ? "prediction" : "ground truth");
  return parts.join(", ");
}

// The keys that light up together with one, and the arrow to draw between boxes.
function related(key) {
  const on = new Set();
  const arrows = [];
  const add = (one) => {
    on.add(one);
    const { side, kind, index, graph, item } = look(one);
    if (kind === "attributes") on.add(`${side}-o${item.object}`);
    if (kind === "relationships") {
      on.add(`${side}-o${item.subject}`).add(`${side}-o${item.object}`);
      arrows.push([side, item.subject, item.object]);
    }
    return { side, kind, index, graph, item };
  };
  const { side, kind, index, graph, item } = add(key);
  if (kind === "objects") {
    graph.attributes.forEach((a, i) => a.object === index && on.add(`${side}-a${i}`));
    graph.relationships.forEach((r, i) => (r.subject === index || r.object === index) && on.add(`${side}-r${i}`));
  }
  if (item.match !== undefined) add(`${side === "p" ? "t" : "p"}-${key.split("-")[1][0]}${item.match}`);
  return { on, arrows };
}

// ---------------------------------------------------------------- lighting up

let pinned = null;
let lit = null;

function light(key, from = null) {
  lit = key ?? pinned;
  const { on, arrows } = lit ? related(lit) : { on: new Set(), arrows: [] };
  document.body.classList.toggle("lit", lit !== null);
  for (const [one, elements] of views) for (const element of elements) element.classList.toggle("on", on.has(one));
  for (const [one, elements] of edges) for (const element of elements) element.classList.toggle("on", on.has(one));
  byId("caption").textContent = lit ? sentence(lit) + (lit === pinned ? " (kept; Escape lets go)" : "") : resting;
  byId("caption").classList.toggle("told", lit !== null);
  drawArrows(arrows);
  if (lit) for (const one of [lit, ...on]) reveal(one, from);
}

function pin(key) {
  pinned = pinned === key ? null : key;
  for (const [one, elements] of views) {
    for (const element of elements) if (element.hasAttribute("aria-pressed")) element.setAttribute("aria-pressed", String(one === pinned));
  }
  light(pinned);
}

const resting = byId("caption").textContent;

// Scroll a graph, never the page, so that a lit node can be seen; not the graph that is being pointed at.
const revealed = new Set();
function reveal(key, from) {
  const node = (views.get(key) ?? []).find((element) => element.classList.contains("node"));
  const canvas = node?.closest(".canvas");
  if (!canvas || canvas === from || revealed.has(canvas)) return;
  revealed.add(canvas);
  queueMicrotask(() => revealed.clear());
  const a = node.getBoundingClientRect();
  const b = canvas.getBoundingClientRect();
  if (a.left < b.left || a.right > b.right || a.top < b.top || a.bottom > b.bottom) {
    canvas.scrollBy({ left: (a.left + a.right - b.left - b.right) / 2, top: (a.top + a.bottom - b.top - b.bottom) / 2, behavior: "smooth" });
  }
}

// Make an element show `key`: pointing at it or focusing it lights the key, Enter or a click keeps it lit.
function register(key, element, reacts = element) {
  if (!views.has(key)) views.set(key, []);
  views.get(key).push(element);
  const from = element.closest?.(".canvas") ?? null;
  reacts.addEventListener("pointerenter", () => light(key, from));
  reacts.addEventListener("pointerleave", () => light(null));
  reacts.addEventListener("focus", () => light(key));
  reacts.addEventListener("blur", () => light(null));
  reacts.addEventListener("click", () => pin(key));
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && pinned) pin(pinned);
});

// One tab stop for many elements; the arrow keys go to the nearest one in their direction.
function roving(container, elements) {
  elements.forEach((element, i) => element.setAttribute("tabindex", i === 0 ? "0" : "-1"));
  container.addEventListener("focusin", (event) => {
    const here = elements.find((element) => element === event.target);
    if (here) for (const element of elements) element.setAttribute("tabindex", element === here ? "0" : "-1");
  });
  container.addEventListener("keydown", (event) => {
    const here = elements.indexOf(event.target);
    if (here < 0) return;
    const to = { Home: elements[0], End: elements.at(-1) }[event.key] ?? nearest(elements, elements[here], event.key);
    if (!to) return;
    event.preventDefault();
    to.focus({ preventScroll: false });
  });
}

function nearest(elements, here, key) {
  const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  if (!direction) return null;
  const centre = (element) => {
    const r = element.getBoundingClientRect();
    return [r.left + r.width / 2, r.top + r.height / 2];
  };
  const [x, y] = centre(here);
  let best = null;
  let least = Infinity;
  for (const element of elements) {
    const [u, v] = centre(element);
    const along = (u - x) * direction[0] + (v - y) * direction[1];
    const aside = Math.abs((u - x) * direction[1]) + Math.abs((v - y) * direction[0]);
    if (element !== here && along > 1 && along + 2.5 * aside < least && element.checkVisibility?.({ visibilityProperty: true }) !== false) {
      least = along + 2.5 * aside;
      best = element;
    }
  }
  return best;
}
