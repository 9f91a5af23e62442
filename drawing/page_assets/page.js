// The lists under the graphs; then everything is put in its place.
"use strict";

const LISTED = 300; // lines of a list

function placeLists() {
  const sides = data.graphs.truth ? ["t", "p"] : ["p"];
  for (const kind of ["relationships", "attributes"]) {
    if (kind === "attributes" && sides.every((side) => !data.graphs[SIDES[side]].attributes.length)) continue;
    for (const side of sides) {
      const graph = data.graphs[SIDES[side]];
      const items = graph[kind];
      const heading = data.graphs.truth ? `${side === "p" ? "Predicted" : "Annotated"} ${kind}` : kind[0].toUpperCase() + kind.slice(1);
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
      order.slice(0, LISTED).forEach((index, rank) => {
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
      if (order.length > LISTED) section.append(make("p", {}, `and ${(order.length - LISTED).toLocaleString("en")} more in the graph's JSON`));
      roving(section, buttons);
    }
  }
}

// ---------------------------------------------------------------- the start

for (const link of document.querySelectorAll("header a")) link.hash = location.hash; // what the index was asked for
document.body.classList.toggle("boxless", !boxed);
placeBoxes();
placeSwitches();
for (const panel of document.querySelectorAll(".panel")) wireGraph(panel);
placeLists();
wireWalk();
