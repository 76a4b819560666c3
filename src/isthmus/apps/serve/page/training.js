// How a training went, and goes: losses and sample pictures.

import { sample, training } from "./api.js";
import { chart } from "./chart.js";
import { el, picture } from "./parts.js";

export const name = "Training";

export const able = () => true;

const PAUSE = 2000;  // milliseconds between two looks

export function panel(model) {
  const state = el("p", { class: "soft", role: "status" });
  const curves = el("section", { class: "card chart", "aria-label": "Losses" });
  const album = el("section", { class: "card", "aria-label": "Samples" });
  const element = el("div", { class: "stack" }, state, curves, album);
  const rows = [];
  const pictures = samplesOf(model, album);
  let [next, drawing] = [0, null];

  async function look() {
    if (element.isConnected && !element.closest("[hidden]") && !document.hidden) {
      try {
        const found = await training(model.name, next);
        if (found.next < next) rows.length = 0;  // it was started anew
        next = found.next;
        rows.push(...found.rows);
        if (found.rows.length || !drawing) drawing = show(drawing);
        pictures(found.samples);
        tell(found);
      } catch (error) {
        state.textContent = error.message;
      }
    }
    setTimeout(look, PAUSE);
  }
  function show(before) {
    if (!rows.length) {
      curves.replaceChildren(el("h2", {}, "Losses"), el("p", { class: "empty" }, "Nothing has been logged yet."));
      return null;
    }
    return chart(curves, rows, before);
  }
  function tell({ steps, live }) {
    const last = rows.at(-1)?.step ?? 0;
    const running = live && last < (steps ?? 0);
    state.replaceChildren(running ? el("span", { class: "live" }, "● training") : "",
      ` step ${last.toLocaleString("en")}${steps ? ` of ${steps.toLocaleString("en")}` : ""}`);
  }
  queueMicrotask(look);
  return element;
}

// The sample pictures, one at a time by a slider, the newest first seen.
function samplesOf(model, album) {
  let [steps, timer] = [null, null];
  const image = picture(undefined, "");
  const slider = el("input", { type: "range", min: 0, value: 0, "aria-label": "Samples over time" });
  const caption = el("p", { class: "soft" });
  slider.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(show, 60);
  });

  async function show() {
    const step = steps[slider.value];
    const file = await sample(model.name, step).catch(() => null);
    if (file) {
      URL.revokeObjectURL(image.src);
      image.src = URL.createObjectURL(file);
      image.alt = `samples at step ${step}`;
    }
    caption.textContent = `step ${step.toLocaleString("en")}, ${Number(slider.value) + 1} of ${steps.length}`;
  }
  return (found) => {
    if (steps && found.length === steps.length) return;
    const newest = !steps || Number(slider.value) === steps.length - 1;
    steps = found;
    slider.max = Math.max(0, steps.length - 1);
    slider.hidden = steps.length < 2;
    const content = steps.length ? el("div", { class: "stage wide" }, image, slider, caption)
      : el("p", { class: "empty" }, "No samples were drawn in this training.");
    if (!steps.length || !image.isConnected) album.replaceChildren(el("h2", {}, "Samples"), content);
    if (newest && steps.length) {
      slider.value = steps.length - 1;
      show();
    }
  };
}
