// The agent's walk: a slider over its steps.
"use strict";

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
