// The graphs: nodes that light up, zooming, panning.
"use strict";

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
  const begin = whole() < 0.55 ? 0.7 : whole(); // whole where it can be read then, else readable
  zoom(Math.min(begin, 1.35));
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
