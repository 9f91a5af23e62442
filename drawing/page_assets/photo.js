// The photo: boxes that light up, arrows between them, switches to show them.
"use strict";

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
