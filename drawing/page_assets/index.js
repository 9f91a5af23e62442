// The index: cards of all images, sorted and filtered; made a screenful at a time, so that thousands open at once.
"use strict";

// words: names; an image has indices into them. phrases: [subject, predicate, object, score], or an attribute as
// [object, attribute, -1, score]; what is annotated has null as score. hits and total only where there is ground truth.
const { images, words } = window.gallery;
const judged = images.some((image) => image.total !== undefined);
const best = images.reduce((most, image) => image.phrases.reduce((m, phrase) => Math.max(m, phrase[3] ?? 0), most), 0);
const byId = (id) => document.getElementById(id);
const CHUNK = 60;
const FIELDS = ["word", "predicate", "score", "sort"];
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

const inWords = ([s, p, o]) => (o < 0 ? `${words[s]} is ${words[p]}` : `${words[s]} ${words[p]} ${words[o]}`);

function card(image) {
  const recall = recallOf(image);
  const photo = image.thumb
    ? make("img", { class: "thumb", src: image.thumb, alt: "", loading: "lazy", decoding: "async", width: 320, height: 240 })
    : make("div", { class: "thumb no-photo" }, "no photo");
  const meter = make("div", { class: "meter", "aria-hidden": "true" }, make("i"));
  meter.firstChild.style.width = `${100 * (recall ?? 0)}%`;
  const text = make("div", { class: "words" }, make("h2", { title: image.name }, image.name));
  if (judged) text.append(meter, make("p", {}, recall === null ? "no relationship annotated" : `recall ${perCent(recall)}: ${image.hits} of ${image.total}`));
  for (const phrase of image.phrases.slice(0, image.told)) text.append(make("p", { class: "said" }, inWords(phrase)));
  text.append(make("p", {}, `${counted(image.objects, "object")}, ${counted(image.predicted, "relationship")}`));
  return make("li", { class: "card" }, make("a", { href: image.page + location.hash }, photo, text));
}

// ---------------------------------------------------------------- what is asked for

const asked = { word: "", predicate: "", score: "0", sort: "order", bins: new Set() };
const least = () => (Number(asked.score) * best) / 100;

// With a predicate or a score asked for, one phrase must have it, and the word too where there is one.
function fits(image, query, fitting) {
  const named = !query || image.name.toLowerCase().includes(query);
  const predicate = asked.predicate === "" ? null : Number(asked.predicate);
  const has = ([s, p, o]) => fitting.has(s) || fitting.has(p) || fitting.has(o);
  if (predicate === null && Number(asked.score) === 0) return named || image.words.some((w) => fitting.has(w)) || image.phrases.some(has);
  return image.phrases.some(
    (phrase) => (predicate === null || (phrase[1] === predicate && phrase[2] >= 0)) && phrase[3] >= least() && (named || has(phrase)),
  );
}

function chosen(withBins = true) {
  const query = asked.word.trim().toLowerCase();
  const fitting = new Set(query ? words.flatMap((word, i) => (word.toLowerCase().includes(query) ? [i] : [])) : []);
  const list = images.filter((image) => fits(image, query, fitting) && (!withBins || !asked.bins.size || asked.bins.has(binOf(image))));
  const recall = (image, none) => recallOf(image) ?? none; // images without annotations come last either way
  const orders = {
    worst: (a, b) => recall(a, 2) - recall(b, 2),
    best: (a, b) => recall(b, -1) - recall(a, -1),
    sure: (a, b) => (b.phrases[0]?.[3] ?? -1) - (a.phrases[0]?.[3] ?? -1),
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
  byId("least").textContent = least().toFixed(2);
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
const having = new Map(); // predicate -> number of images
for (const image of images) {
  for (const p of new Set(image.phrases.flatMap(([, p, o]) => (o < 0 ? [] : [p])))) having.set(p, (having.get(p) ?? 0) + 1);
}
for (const p of [...having.keys()].sort((a, b) => a - b)) byId("predicate").append(make("option", { value: p }, `${words[p]} (${having.get(p)})`));
byId("histogram").hidden = !judged;
byId("scores").hidden = best === 0;
for (const option of document.querySelectorAll("#sort [data-judged]")) if (!judged) option.remove();

for (const name of FIELDS) {
  byId(name).addEventListener("input", () => {
    asked[name] = byId(name).value;
    show();
  });
}
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => {
  Object.assign(asked, { word: "", predicate: "", score: "0", sort: "order" });
  asked.bins.clear();
  setTimeout(show); // after the form has taken its first values
});

// The filters are kept in the address and passed to the pages, so that coming back restores them.
function remember() {
  const parts = new URLSearchParams();
  for (const name of ["word", "predicate"]) if (asked[name] !== "") parts.set(name, asked[name]);
  if (asked.score !== "0") parts.set("score", asked.score);
  if (asked.sort !== "order") parts.set("sort", asked.sort);
  if (asked.bins.size) parts.set("recall", [...asked.bins].join(" "));
  history.replaceState(null, "", `#${parts}`);
}

const before = new URLSearchParams(location.hash.slice(1));
for (const name of FIELDS) {
  if (before.has(name)) byId(name).value = before.get(name);
  asked[name] = byId(name).value;
}
for (const bin of (before.get("recall") ?? "").split(" ")) if (/^\d$/.test(bin)) asked.bins.add(Number(bin));
show();
