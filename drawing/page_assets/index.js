// The index: cards of all images, sorted and filtered; made a screenful at a time, so that thousands open at once.
"use strict";

const { images, words, predicates } = window.gallery; // words, predicates: names; an image has indices into them
const byId = (id) => document.getElementById(id);
const CHUNK = 60;
const BINS = 10;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const recallOf = (image) => (image.total ? image.hits / image.total : null);
const binOf = (image) => (image.total ? Math.min(BINS - 1, Math.floor((BINS * image.hits) / image.total)) : null);
const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const perCent = (value) => `${Math.round(100 * value)} %`;

function card(image) {
  const recall = recallOf(image);
  const photo = image.thumb
    ? make("img", { class: "thumb", src: image.thumb, alt: "", loading: "lazy", decoding: "async", width: 320, height: 240 })
    : make("div", { class: "thumb no-photo" }, "no photo");
  const meter = make("div", { class: "meter", "aria-hidden": "true" }, make("i"));
  meter.firstChild.style.width = `${100 * (recall ?? 0)}%`;
  const told = recall === null ? "no relationship annotated" : `recall ${perCent(recall)}: ${image.hits} of ${image.total}`;
  const counts = `${counted(image.objects, "object")}, ${counted(image.predicted, "relationship")}`;
  const text = make("div", { class: "words" }, make("h2", { title: image.name }, image.name), meter, make("p", {}, told), make("p", {}, counts));
  return make("li", { class: "card" }, make("a", { href: image.page + location.hash }, photo, text));
}

// ---------------------------------------------------------------- what is asked for

const asked = { word: "", predicate: "", sort: "order", bins: new Set() };

function chosen(withBins = true) {
  const query = asked.word.trim().toLowerCase();
  const fitting = query ? new Set(words.flatMap((word, i) => (word.toLowerCase().includes(query) ? [i] : []))) : null;
  const predicate = asked.predicate === "" ? null : Number(asked.predicate);
  const list = images.filter(
    (image) =>
      (!fitting || image.name.toLowerCase().includes(query) || image.words.some((w) => fitting.has(w))) &&
      (predicate === null || image.predicates.includes(predicate)) &&
      (!withBins || !asked.bins.size || asked.bins.has(binOf(image))),
  );
  const recall = (image, none) => recallOf(image) ?? none; // images without annotations come last either way
  const orders = {
    worst: (a, b) => recall(a, 2) - recall(b, 2),
    best: (a, b) => recall(b, -1) - recall(a, -1),
    objects: (a, b) => b.objects - a.objects,
    name: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }),
  };
  return orders[asked.sort] ? list.sort(orders[asked.sort]) : list;
}

// ---------------------------------------------------------------- drawing

const cards = byId("cards");
let waiting = [];
const end = make("li", { "aria-hidden": "true", role: "presentation" });
const watcher = new IntersectionObserver((entries) => entries.some((e) => e.isIntersecting) && more(), { rootMargin: "900px" });

function more() {
  cards.append(...waiting.splice(0, CHUNK).map(card));
  watcher.unobserve(end);
  end.remove();
  if (waiting.length) {
    cards.append(end);
    watcher.observe(end);
  }
}

function show() {
  waiting = chosen();
  byId("count").textContent = `${waiting.length.toLocaleString("en")} of ${images.length.toLocaleString("en")} images`;
  byId("nothing").hidden = waiting.length > 0;
  cards.replaceChildren();
  drawBars();
  remember();
  more();
}

function drawBars() {
  const counts = new Array(BINS).fill(0);
  for (const image of chosen(false)) if (image.total) counts[binOf(image)] += 1;
  const most = Math.max(1, ...counts);
  [...byId("bars").children].forEach((button, bin) => {
    const upper = bin === BINS - 1 ? "100 %" : `under ${(bin + 1) * 10} %`;
    const label = `Recall from ${bin * 10} to ${upper}: ${counted(counts[bin], "image")}`;
    button.setAttribute("aria-label", label);
    button.setAttribute("title", label);
    button.setAttribute("aria-pressed", String(asked.bins.has(bin)));
    button.disabled = counts[bin] === 0 && !asked.bins.has(bin);
    button.firstChild.style.height = counts[bin] ? `${8 + (92 * counts[bin]) / most}%` : "0";
  });
}

for (let bin = 0; bin < BINS; bin++) {
  const button = make("button", { type: "button" }, make("i"), make("span", {}, `${bin * 10}`));
  button.addEventListener("click", () => {
    if (!asked.bins.delete(bin)) asked.bins.add(bin);
    show();
  });
  byId("bars").append(button);
}
const having = new Array(predicates.length).fill(0);
for (const image of images) for (const p of image.predicates) having[p] += 1;
for (const p of predicates.keys()) byId("predicate").append(make("option", { value: p }, `${predicates[p]} (${having[p]})`));

for (const name of ["word", "predicate", "sort"]) {
  byId(name).addEventListener("input", () => {
    asked[name] = byId(name).value;
    show();
  });
}
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => {
  Object.assign(asked, { word: "", predicate: "", sort: "order" });
  asked.bins.clear();
  setTimeout(show); // after the form has taken its first values
});

// The filters are kept in the address and passed to the pages, so that coming back restores them.
function remember() {
  const parts = new URLSearchParams();
  for (const name of ["word", "predicate"]) if (asked[name] !== "") parts.set(name, asked[name]);
  if (asked.sort !== "order") parts.set("sort", asked.sort);
  if (asked.bins.size) parts.set("recall", [...asked.bins].join(" "));
  history.replaceState(null, "", `#${parts}`);
}

const before = new URLSearchParams(location.hash.slice(1));
for (const name of ["word", "predicate", "sort"]) {
  if (before.has(name)) byId(name).value = before.get(name);
  asked[name] = byId(name).value;
}
for (const bin of (before.get("recall") ?? "").split(" ")) if (/^\d$/.test(bin)) asked.bins.add(Number(bin));
show();
