// The page of one image: boxes on the photo, one or two graphs, lists, the agent's walk.
// Every thing has a key, "p-o3": p prediction or t ground truth; o object, a attribute, r relationship; its index.
// A graph's SVG nodes bear the key as their id. Text from data only ever becomes text nodes and attribute values.
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

// ---------------------------------------------------------------- photo

const [width, height] = data.size;

function placeBoxes() {
  const buttons = [];
  for (const side of ["p", "t"]) {
    const graph = data.graphs[SIDES[side]];
    const drawn = new Set(data.drawn[SIDES[side]]);
    graph?.objects.forEach((object, index) => {
      const { x, y, w, h } = object;
      if (!(w > 0 && h > 0)) return;
      const key = `${side}-o${index}`;
      const name = make("span", { class: "name" }, ` ${object.name}`);
      const tag = make("span", {}, String(index + 1), name);
      const box = make("button", { type: "button", class: `box of-${SIDES[side]}`, "data-key": key, "aria-label": sentence(key), "aria-pressed": "false" }, tag);
      const left = Math.max(0, x);
      const top = Math.max(0, y);
      box.style.left = `${(100 * left) / width}%`;
      box.style.top = `${(100 * top) / height}%`;
      box.style.width = `${(100 * (Math.min(width, x + w) - left)) / width}%`;
      box.style.height = `${(100 * (Math.min(height, y + h) - top)) / height}%`;
      box.style.zIndex = String(1000 - Math.round(999 * Math.min(1, (w * h) / (width * height)))); // small ones on top
      box.classList.toggle("spare", !drawn.has(index));
      if (side === "p") {
        const [colour, ink] = data.colours[index % data.colours.length];
        box.style.setProperty("--own", colour);
        box.style.setProperty("--own-ink", ink);
        box.classList.toggle("up", y > 0.06 * height);
      } else {
        box.classList.toggle("matched", object.match !== undefined);
      }
      register(key, box);
      stage.append(box);
      buttons.push(box);
    });
  }
  stage.classList.toggle("roomy", data.drawn.prediction.length <= 9);
  stage.style.setProperty("--shape", String(width / height));
  roving(stage, buttons);
}

function drawArrows(list, trail = []) {
  const svg = byId("arrows");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const unit = width / (stage.clientWidth || width); // a screen pixel in the photo's pixels
  const draw = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    svg.append(element);
  };
  const centre = (side, index) => {
    const { x, y, w, h } = data.graphs[SIDES[side]].objects[index];
    return [x + w / 2, y + h / 2];
  };
  if (trail.length > 1) {
    const points = trail.map((index) => centre("p", index).join(",")).join(" ");
    draw("polyline", { points, fill: "none", stroke: "#000", "stroke-opacity": 0.5, "stroke-width": 4 * unit });
    draw("polyline", { points, fill: "none", stroke: "#fff", "stroke-opacity": 0.85, "stroke-width": 2 * unit, "stroke-dasharray": `${5 * unit} ${4 * unit}` });
  }
  for (const [side, subject, object] of list) {
    const [a, b] = centre(side, subject);
    const [c, d] = centre(side, object);
    const length = Math.hypot(c - a, d - b);
    if (length < 1) continue;
    const [u, v] = [(c - a) / length, (d - b) / length];
    const tip = 14 * unit;
    const head = [[c, d], [c - u * tip - v * tip * 0.55, d - v * tip + u * tip * 0.55], [c - u * tip + v * tip * 0.55, d - v * tip - u * tip * 0.55]];
    const line = { x1: a, y1: b, x2: c - u * tip * 0.8, y2: d - v * tip * 0.8 };
    const dash = side === "t" ? { "stroke-dasharray": `${7 * unit} ${5 * unit}` } : {};
    draw("line", { ...line, stroke: "#000", "stroke-opacity": 0.65, "stroke-width": 6 * unit });
    draw("line", { ...line, ...dash, stroke: "#ffb454", "stroke-width": 3.2 * unit });
    draw("polygon", { points: head.map((p) => p.join(",")).join(" "), fill: "#ffb454", stroke: "#000", "stroke-opacity": 0.65, "stroke-width": unit });
    draw("circle", { cx: a, cy: b, r: 4.5 * unit, fill: "#ffb454", stroke: "#000", "stroke-opacity": 0.65, "stroke-width": unit });
  }
}

function placeSwitches() {
  const flip = (words, name, pressed) => {
    const button = make("button", { type: "button", "aria-pressed": String(pressed) }, words);
    button.addEventListener("click", () => {
      const now = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(now));
      stage.classList.toggle(name === "truth" ? "show-truth" : "hide-prediction", name === "truth" ? now : !now);
    });
    byId("switches").append(button);
  };
  flip(data.graphs.truth ? "Predicted boxes" : "Boxes", "prediction", true);
  if (data.graphs.truth) flip("Annotated boxes (dashed)", "truth", false);
}

// ---------------------------------------------------------------- graphs

function wireGraph(panel) {
  const canvas = panel.querySelector(".canvas");
  const svg = canvas.querySelector("svg");
  const nodes = [...svg.querySelectorAll(".node[id]")].filter((node) => /^[pt]-[oar]\d+$/.test(node.id));
  for (const node of nodes) {
    node.setAttribute("role", "button");
    node.setAttribute("aria-label", sentence(node.id));
    node.setAttribute("aria-pressed", "false");
    register(node.id, node);
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pin(node.id);
    });
  }
  for (const edge of svg.querySelectorAll(".edge")) {
    const name = [...edge.classList].find((c) => c.startsWith("of-"))?.slice(3);
    if (!name) continue;
    if (!edges.has(name)) edges.set(name, []);
    edges.get(name).push(edge);
  }
  roving(canvas, nodes);

  // Zoom by setting the drawing's size; panning is the canvas's own scrolling.
  const natural = svg.viewBox.baseVal;
  let scale = 1;
  const zoom = (to, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const next = Math.min(4, Math.max(0.12, to));
    const [u, v] = [(canvas.scrollLeft + x) / scale, (canvas.scrollTop + y) / scale];
    scale = next;
    svg.setAttribute("width", natural.width * scale);
    svg.setAttribute("height", natural.height * scale);
    canvas.scrollTo(u * scale - x, v * scale - y);
  };
  const whole = () => Math.min((canvas.clientWidth - 4) / natural.width, (canvas.clientHeight - 4) / natural.height);
  const fit = () => zoom(Math.min(whole(), 1.35));
  zoom(Math.min(1.35, Math.max(0.7, whole()))); // readable first, whole second
  canvas.scrollTo((natural.width * scale - canvas.clientWidth) / 2, 0);
  for (const [name, action] of [["out", () => zoom(scale / 1.25)], ["in", () => zoom(scale * 1.25)], ["fit", fit]]) {
    panel.querySelector(`[data-zoom="${name}"]`).addEventListener("click", action);
  }
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const b = canvas.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - b.left, event.clientY - b.top);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType !== "mouse" || event.target.closest(".node")) return;
    const start = [event.clientX + canvas.scrollLeft, event.clientY + canvas.scrollTop];
    canvas.classList.add("held");
    const move = (now) => canvas.scrollTo(start[0] - now.clientX, start[1] - now.clientY);
    const end = () => {
      canvas.classList.remove("held");
      window.removeEventListener("pointermove", move);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end, { once: true });
  });
}

// ---------------------------------------------------------------- lists

function placeLists() {
  const sides = data.graphs.truth ? ["t", "p"] : ["p"];
  for (const [kind, title] of [["relationships", "relationships"], ["attributes", "attributes"]]) {
    for (const side of sides) {
      const graph = data.graphs[SIDES[side]];
      const items = graph[kind];
      const heading = data.graphs.truth ? `${side === "p" ? "Predicted" : "Annotated"} ${title}` : title[0].toUpperCase() + title.slice(1);
      const section = make("section", { class: "list", "aria-label": heading }, make("h2", {}, `${heading} (${items.length})`));
      byId("lists").append(section);
      if (!items.length) continue;
      const order = items.map((_, i) => i).sort((a, b) => (items[b].score ?? 1) - (items[a].score ?? 1) || a - b);
      const scored = items.some((item) => item.score !== undefined);
      const judged = items.some((item) => item.status);
      const head = make("tr", {}, make("th", { scope: "col", class: "number" }, "#"), make("th", { scope: "col" }, "phrase"));
      if (scored) head.append(make("th", { scope: "col", class: "number" }, "score"));
      if (judged) head.append(make("th", { scope: "col" }, side === "p" ? "in the ground truth" : "predicted"));
      const body = make("tbody");
      const buttons = [];
      order.forEach((index, rank) => {
        const key = `${side}-${kind[0]}${index}`;
        const item = items[index];
        const button = make("button", { type: "button", "data-key": key, "aria-pressed": "false" }, words(key));
        const row = make("tr", {}, make("td", {}, String(rank + 1)), make("td", {}, button));
        if (scored) row.append(make("td", { class: "number" }, item.score === undefined ? "" : item.score.toFixed(2)));
        if (judged) row.append(make("td", { class: `status ${item.status}` }, STATUS[item.status]));
        register(key, row, button);
        views.get(key).push(button);
        buttons.push(button);
        body.append(row);
      });
      section.append(make("table", {}, make("thead", {}, head), body));
      roving(section, buttons);
    }
  }
}

// ---------------------------------------------------------------- the walk

function wireWalk() {
  const { steps, objects, attributes, relationships } = data.graphs.prediction;
  if (!steps?.length) return;
  byId("walk").hidden = false;
  const slider = byId("step");
  slider.max = String(steps.length + 1); // the last place: everything, nothing in particular
  slider.value = slider.max;
  let timer = null;

  const show = () => {
    const now = Number(slider.value); // steps 1 … now are done
    const walking = now <= steps.length;
    document.body.classList.toggle("walking", walking);
    const seen = new Set(steps.slice(0, now).flat());
    const [subject, object] = steps[now - 1] ?? [-1, -1];
    const said = [];
    const set = (key, later, current) => {
      for (const element of [...(views.get(key) ?? []), ...(edges.get(key) ?? [])]) {
        element.classList.toggle("later", walking && later);
        element.classList.toggle("now", walking && current);
      }
    };
    objects.forEach((_, i) => set(`p-o${i}`, !seen.has(i), i === subject || i === object));
    for (const [letter, items] of [["a", attributes], ["r", relationships]]) {
      items.forEach((item, i) => {
        const key = `p-${letter}${i}`;
        const current = item.step === now - 1;
        set(key, item.step === undefined ? false : item.step >= now, current);
        if (walking && current) said.push(words(key) + (item.status ? ` (${STATUS[item.status].slice(2)})` : ""));
      });
    }
    let text = `All ${steps.length} steps. Move the slider to follow the agent.`;
    if (walking && now === 0) text = `Before the first of ${steps.length} steps.`;
    else if (walking) {
      const looks = object < 0 ? `starts with ${called("p", subject)}` : `looks from ${called("p", subject)} to ${called("p", object)}`;
      text = `Step ${now} of ${steps.length}: ${looks}. ${said.length ? `Says: ${said.join("; ")}.` : "Says nothing new."}`;
    }
    byId("told").textContent = text;
    slider.setAttribute("aria-valuetext", walking ? `step ${now} of ${steps.length}` : "all steps");
    const trail = steps.slice(0, now).map(([s]) => s).filter((s, i, all) => i === 0 || s !== all[i - 1]);
    drawArrows(walking && object >= 0 ? [["p", subject, object]] : [], walking ? trail : []);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    byId("play").setAttribute("aria-pressed", "false");
    byId("play").textContent = "Play";
  };
  const go = (to) => {
    slider.value = String(to);
    show();
    if (Number(slider.value) > steps.length) stop();
  };
  slider.addEventListener("input", () => { stop(); show(); });
  byId("back").addEventListener("click", () => { stop(); go(Number(slider.value) - 1); });
  byId("forth").addEventListener("click", () => { stop(); go(Number(slider.value) + 1); });
  byId("play").addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) > steps.length) go(0);
    byId("play").setAttribute("aria-pressed", "true");
    byId("play").textContent = "Pause";
    timer = setInterval(() => go(Number(slider.value) + 1), 1100);
  });
  show();
}

for (const link of document.querySelectorAll("header a")) link.hash = location.hash; // what the index was asked for
document.body.classList.toggle("boxless", !boxed);
placeBoxes();
placeSwitches();
for (const panel of document.querySelectorAll(".panel")) wireGraph(panel);
placeLists();
wireWalk();
